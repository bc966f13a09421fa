from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_spool import Descriptor, InvalidDescriptor, UnknownJob
from treadle_spool.head import Heads
from treadle_spool.status import now

LARGE = 2_000_000


def bytes_read() -> int:
    """Return how many bytes this process has read."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def large(**fields: object) -> bytes:
    """Return a descriptor with a large payload, its fields in the order given."""
    return json.dumps({"data": {"x": "a" * LARGE}, **fields}).encode()


def test_a_status_reads_the_head_of_a_large_job_only(spool):
    body = {"service": "sum", "labels": {"of": "me", "data": '","data":{'}, "data": {"x": "a" * LARGE}}
    accepted = spool.accept(Descriptor.from_json(json.dumps(body).encode()))
    before = bytes_read()
    found = spool.look_up(accepted.id)
    assert bytes_read() - before < 200_000
    assert found == accepted


def test_a_job_that_somebody_else_has_written_is_parsed_once(spool):
    (spool.queue / "theirs.json").write_bytes(large(service="sum", labels={"of": "them"}))
    first = spool.look_up("theirs")
    assert (first.service, first.labels) == ("sum", {"of": "them"})
    before = bytes_read()
    assert spool.look_up("theirs") == first
    assert bytes_read() - before < 200_000


def test_a_job_that_has_been_replaced_is_parsed_again(spool):
    path = spool.queue / "theirs.json"
    path.write_bytes(large(service="one"))
    assert spool.look_up("theirs").service == "one"
    Path(spool.stage(large(service="two"))).replace(path)
    assert spool.look_up("theirs").service == "two"


def test_what_is_wrong_in_a_large_job_is_found(spool):
    (spool.queue / "theirs.json").write_bytes(large(service="sum", priority="high"))
    with pytest.raises(InvalidDescriptor):
        spool.look_up("theirs")
    with pytest.raises(UnknownJob):
        spool.look_up("other")


texts = st.text(alphabet='abé"\\{},:\n', max_size=12) | st.sampled_from(
    ['"data":', ',"data":{', ',"params":']
)


@given(st.dictionaries(texts.filter(bool), texts, max_size=3), st.booleans())
def test_the_head_is_what_the_whole_descriptor_says(tmp_path_factory, labels, has_params):
    body = {"service": "sum", "labels": labels, "data": {"labels": {"x": "y"}, "x": "a" * 70_000}}
    if has_params:
        body["params"] = {"service": "other"}
    accepted = Descriptor.from_json(json.dumps(body).encode()).accepted(now())
    path = tmp_path_factory.mktemp("head") / "job.json"
    path.write_bytes(accepted.to_json())
    head = Heads().read(str(path))
    assert (head.service, head.created, head.labels) == ("sum", accepted.created, labels)
