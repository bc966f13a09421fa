from __future__ import annotations

import json
import time
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_spool import Descriptor, InvalidDescriptor
from treadle_spool.integers import MOST_DIGITS, check_integers

MANY = "7" * (MOST_DIGITS + 1)


def refused(payload: str) -> bool:
    raw = f'{{"service": "sum", "data": {payload}}}'.encode()
    try:
        Descriptor.from_client(raw)
    except InvalidDescriptor as error:
        return "digits" in str(error)
    return False


@pytest.mark.parametrize(
    "payload",
    [
        f'{{"x": {MANY}}}',
        f'{{"x": -{MANY}}}',
        f'{{"x": [1,{MANY},2]}}',
        f'{{"x":{MANY * 3}}}',
        f'{{"text": "\\"", "x": {MANY}}}',
        f'{{"text": "\\\\", "x": {MANY}}}',
        '{"text": "' + "\\\\" * 300_000 + f'", "x": {MANY}}}',
        '{"text": "' + '\\"' * 300_001 + f'", "x": {MANY}}}',
    ],
    ids=range(8),
)
def test_an_integer_of_too_many_digits_is_refused_wherever_it_stands(payload):
    assert refused(payload)


@pytest.mark.parametrize(
    "payload",
    [
        f'{{"x": {MANY[1:]}}}',
        f'{{"x": "{MANY}"}}',
        f'{{"x": ", {MANY}"}}',
        f'{{"x": "\\\\\\", {MANY}"}}',
        f'{{"{MANY}": 1}}',
        f'{{"x": 0.{MANY}}}',
        f'{{"x": {MANY}.5}}',
        f'{{"x": {MANY}e3}}',
        f'{{"x": [{", ".join([MANY[1:]] * 3)}]}}',
    ],
    ids=range(9),
)
def test_digits_that_are_no_such_integer_are_taken(payload):
    assert not refused(payload)


strings = st.text(alphabet='7\\",é', max_size=30)


@given(st.lists(strings | st.integers(0, 10**40), max_size=6))
def test_it_says_of_any_json_what_a_parser_says(values):
    few = 9
    raw = json.dumps(values).encode()
    found = any(isinstance(value, int) and len(str(value)) > few for value in values)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InvalidDescriptor) if found else nullcontext():
        patch.setattr("treadle_spool.integers.MOST_DIGITS", few)
        patch.setattr("treadle_spool.integers._PIECE", 3)
        check_integers(raw)


def test_a_text_of_50_mb_of_digits_and_escapes_is_looked_at_in_no_time():
    text = b'\\"' * 5_000_000 + b'"' + b',""' * 5_000_000
    raw = b'{"x": ["' + text + b'], "y": "' + b"7" * 25_000_000 + b'"}'
    begun = time.process_time()
    check_integers(raw)
    assert time.process_time() - begun < 6
