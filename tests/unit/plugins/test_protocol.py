"""The words between the host runtime's processes: the name of an exit, and what stays for other versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_python.treadle_inside import protocol
from treadle_python.treadle_inside.protocol import exit_name, parse_exit_name

EXITS = st.tuples(
    st.sampled_from(["code", "signal"]),
    st.integers(0, 255),
    st.integers(0, 10**15),
    st.sampled_from([None, "error", "returned"]),
    st.booleans(),
)


@given(EXITS)
def test_what_is_written_is_read(parts):
    assert parse_exit_name(exit_name(*parts)) == parts


@given(st.text("exitcodsgnalrup-0123456789", max_size=40))
def test_a_name_that_is_read_is_one_that_is_written(name):
    parts = parse_exit_name(name)
    if parts is not None:
        assert [int(each) for each in exit_name(*parts).split("-")[2:4]] == list(parts[1:3])


@pytest.mark.parametrize(
    "name",
    [
        "process.json",
        "exit",
        "exit-code-0",
        "exit-code-0-1-cut-returned",
        "exit-code-0-1-other",
        "exit-code--1-1",
        "exit-code-0-1-",
        "exit-code-²-1",
        "exit-status-0-1",
        "exit-code-0-99999999999999999999",
    ],
)
def test_any_other_name_is_no_exit(name):
    assert parse_exit_name(name) is None


def test_the_words_are_those_that_version_1_knows():
    words = ["STARTED", "ALREADY_PUBLISHED", "TRANSIENT_ERROR", "ENDED", "CANNOT_FORK", "OUTDATED", "LEASE"]
    assert [getattr(protocol, word) for word in words] == [b"s", b"t", b"e", b"d", b"p", b"o", b"lease"]
    assert exit_name("code", 0, 1700000000000, "returned", True) == "exit-code-0-1700000000000-returned-cut"
    assert protocol.RESULT_FILES == {"error": "error.json", "returned": "returned.json"}
