"""The name of an exit: what is written is read, and nothing that a program may write instead is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_python.treadle_inside.exit_names import ExitName, parse_exit_name, synced_name

ENDS = st.fixed_dictionaries(
    {
        "how": st.sampled_from(["code", "signal"]),
        "number": st.integers(0, 255),
        "ended_ms": st.integers(0, 253_402_300_799_999),
        "synced": st.booleans(),
    }
)
RESULTS = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "word": st.sampled_from(["error", "returned", "text"]),
            "size": st.none() | st.integers(0, 2**63 - 1),
        }
    ),
)
USED = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"cpu_ms": st.integers(0, 2**40), "peak_kib": st.integers(0, 2**40)}),
)
OUTPUTS = st.sampled_from([{}, {"cut": True}, {"unwritten": 5}, {"unwritten": 28}])
PIECES = [
    "exit",
    "code",
    "signal",
    "returned",
    "error",
    "cut",
    "unwritten",
    "cpu",
    "peak",
    "synced",
    "-",
    "0",
    "1",
    "9" * 20,
]


def fields(name: ExitName) -> dict[str, object]:
    return {field: getattr(name, field) for field in ExitName.__slots__}


@given(ENDS, RESULTS, OUTPUTS, USED)
def test_what_is_written_is_read(end, result, output, used):
    written = ExitName(**end, **result, **output, **used)
    read = parse_exit_name(str(written))
    assert read is not None
    assert fields(read) == fields(written)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_a_name_that_is_read_is_one_that_is_written(name):
    exit_ = parse_exit_name(name)
    assert exit_ is None or fields(parse_exit_name(str(exit_))) == fields(exit_)


@pytest.mark.parametrize(
    "name",
    [
        "process.json",
        "exit",
        "exit-code-0",
        "exit-code-0-1-cut-returned",
        "exit-code-0-1-5",
        "exit-code-0-1-other",
        "exit-code-0-1-returned--1",
        "exit-code-0-1-returned-5-6",
        "exit-code-0-1-synced-cut",
        "exit-code-0-1-synced-synced",
        "exit-code-0-1-cut-unwritten5",
        "exit-code-0-1-unwritten",
        "exit-code-0-1-unwritten99999",
        "exit-code--1-1",
        "exit-code-256-1",
        "exit-code-0-1-",
        "exit-code-²-1",
        "exit-code-٣-1",
        "exit-status-0-1",
        "exit-code-0-99999999999999999999",
        "exit-code-0-253402300800000",
        "exit-code-0-1-returned-99999999999999999999",
    ],
)
def test_any_other_name_is_no_exit(name):
    assert parse_exit_name(name) is None


@pytest.mark.parametrize(
    ("name", "word", "cut"),
    [
        ("exit-code-0-1700000000000", None, False),
        ("exit-signal-9-1700000000000-cut", None, True),
        ("exit-code-0-1700000000000-returned", "returned", False),
        ("exit-code-1-1700000000000-error-cut", "error", True),
    ],
)
def test_the_names_of_version_1_are_read(name, word, cut):
    exit_ = parse_exit_name(name)
    assert (exit_.word, exit_.size, exit_.cut, exit_.unwritten, exit_.synced) == (
        word,
        None,
        cut,
        None,
        False,
    )
    assert str(exit_) == name


def test_the_durable_name_is_the_plain_one_and_a_word():
    plain = ExitName("code", 0, 1700000000000, word="returned", size=12)
    assert str(plain) == "exit-code-0-1700000000000-returned-12"
    assert str(parse_exit_name(synced_name(str(plain)))) == "exit-code-0-1700000000000-returned-12-synced"
