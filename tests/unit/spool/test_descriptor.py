from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_spool import Descriptor, InvalidDescriptor

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
payloads = st.dictionaries(st.text(), json_values, max_size=4).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
)


def utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(payloads.filter(utf8), payloads.filter(utf8))
def test_payload_bytes_are_carried_unchanged(data, params):
    raw = b'{"service": "s", "data": %b, "params": %b}' % (data, params)
    carried = Descriptor.from_json(Descriptor.from_json(raw).to_json())
    assert bytes(carried.data) == data
    assert bytes(carried.params) == params


@pytest.mark.parametrize("read", [Descriptor.from_json, Descriptor.from_client])
def test_null_is_no_payload(read):
    job = read(b'{"service": "s", "data": null, "params": null}')
    assert (bytes(job.data), bytes(job.params)) == (b"", b"")
    assert job == read(b'{"service": "s"}')


def test_integers_of_any_size_are_carried():
    digits = b"9" * 5000
    job = Descriptor.from_json(b'{"service": "s", "data": {"n": %b}}' % digits)
    assert digits in job.to_json()


def test_every_field_survives_the_round_trip():
    raw = (
        b'{"service":"s","priority":-3,"timeout":1.5,"labels":{"a":"b"},"created":"2026-01-02T03:04:05.000006Z",'
        b'"origin":{"inode":2,"modified":3,"size":4},"data":{"x":1},"params":{}}'
    )
    assert Descriptor.from_json(Descriptor.from_json(raw).to_json()) == Descriptor.from_json(raw)


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        (b"", "$", "not valid JSON"),
        (b"{", "$", "not valid JSON"),
        (b"[]", "$", "object"),
        (b"{}", "$", "service"),
        (b'{"service": 1}', "$.service", "str"),
        (b'{"service": ""}', "$.service", "length"),
        (b'{"service": "s", "data": 1}', "$.data", "object"),
        (b'{"service": "s", "params": []}', "$.params", "object"),
        (b'{"service": "s", "params": true}', "$.params", "object"),
        (b'{"service": "s", "prams": {}}', "$.prams", "did you mean 'params'"),
        (b'{"service": "s", "priority": 1.5}', "$.priority", "int"),
        (b'{"service": "s", "priority": 100000}', "$.priority", "1000"),
        (b'{"service": "s", "timeout": 0}', "$.timeout", "> 0"),
        (b'{"service": "s", "timeout": NaN}', "$", "not valid JSON"),
        (b'{"service": "s", "labels": {"a": 1}}', "$.labels[...]", "str"),
        (b'{"service": "s", "data": {"a": }}', "$", "not valid JSON"),
        (b'{"service": "s", "data": {"a": "\xff"}}', "$", "UTF-8"),
        (b'{"service": "s", "data": ' + b'{"a":' * 100_000, "$", "nested"),
        (b'{"service": "s", "data": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "$", "nested"),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(raw, path, words):
    with pytest.raises(InvalidDescriptor) as caught:
        Descriptor.from_client(raw)
    assert words in str(caught.value)
    assert caught.value.path == path


def from_further_down(frames: int, raw: bytes) -> Descriptor:
    return Descriptor.from_json(raw) if frames == 0 else from_further_down(frames - 1, raw)


def test_what_a_client_may_send_can_be_read_from_further_down_the_stack():
    taken = 0
    for depth in range(100, 1100, 7):
        raw = b'{"service": "s", "data": ' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)
        with suppress(InvalidDescriptor):
            Descriptor.from_client(raw)
            taken = depth
    assert from_further_down(150, b'{"service": "s", "data": ' + b'{"a":' * taken + b"1" + b"}" * (taken + 1))
    assert taken > 300


@given(st.binary(max_size=200))
def test_any_bytes_are_a_descriptor_or_refused(raw):
    try:
        Descriptor.from_json(raw)
    except InvalidDescriptor as error:
        assert str(error)  # noqa: PT017  # both outcomes are right


def test_labels_are_small_as_each_status_repeats_them():
    labels = {f"label-{number}": "x" * 300 for number in range(100)}
    assert Descriptor.from_client(json.dumps({"service": "sum", "labels": labels}).encode()).labels == labels
    large = json.dumps({"service": "sum", "labels": {**labels, "more": "x" * 5000}}).encode()
    with pytest.raises(InvalidDescriptor, match="32768 are allowed") as caught:
        Descriptor.from_client(large)
    assert caught.value.path == "$.labels"
    assert Descriptor.from_json(large).labels["more"]
