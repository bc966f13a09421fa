"""The markers: the examples of the Runtime Interface document, and properties (section 4 of the contract)."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from treadle import Found, Interim, Malformed, Result
from treadle.dispatch.lines import LONGEST_LINE, LineSplitter
from treadle_markers import MarkersParser, markers

LIMIT = 10 * LONGEST_LINE

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.dumps(value).encode())

log_lines = (
    st.binary(max_size=30)
    .map(lambda line: line.replace(b"\n", b""))
    .filter(lambda line: not line.startswith(b"PlanQK:Job:"))
)
marker_lines = st.sampled_from(
    [
        b"PlanQK:Job:Result: 1",
        b"PlanQK:Job:Result:",
        b"PlanQK:Job:Result: {bad",
        b"PlanQK:Job:MultilineResult",
        b"PlanQK:Job:MultilineResult\r",
        b"PlanQK:Job:InterimResult: [2]",
        b"PlanQK:Job:InterimResult: \xff",
        b"PlanQK:Job:",
        b'{"sum":',
        b"42}",
    ]
)
outputs = st.lists(log_lines | marker_lines, max_size=12).map(b"\n".join)


class EachLine(MarkersParser):
    """Is fed each line."""

    def skip(self, output: bytes, start: int, end: int) -> int:
        return start


def parse(
    output: bytes, cuts: tuple[int, ...] = (), parser: type[MarkersParser] = MarkersParser
) -> list[Found]:
    """Return the findings in an output that is written in pieces, cut at these positions."""
    splitter = LineSplitter(parser(), LIMIT)
    found: list[Found] = []
    edges = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    for start, end in pairwise(edges):
        found += filter(None, splitter.feed(output[start:end]))
    return [*found, *splitter.finish()]


def results(output: bytes) -> list[bytes]:
    return [found.value for found in parse(output) if isinstance(found, Result)]


def interims(output: bytes) -> list[bytes]:
    return [found.value for found in parse(output) if isinstance(found, Interim)]


def faults(output: bytes) -> list[Malformed]:
    return [found for found in parse(output) if isinstance(found, Malformed)]


def test_a_result_in_one_line():
    assert parse(b'PlanQK:Job:Result: {"sum":42}\n') == [Result(b'{"sum":42}')]


def test_a_result_in_many_lines():
    output = b'PlanQK:Job:MultilineResult\n{\n  "sum": 42\n}\nPlanQK:Job:MultilineResult\n'
    assert parse(output) == [Result(b'{\n  "sum": 42\n}')]


def test_an_interim_result():
    assert parse(b'PlanQK:Job:InterimResult: {"sum":25.2}\n') == [Interim(b'{"sum":25.2}')]


@given(outputs, st.lists(st.integers(0, 400), max_size=8).map(tuple))
def test_how_the_output_is_cut_into_writes_does_not_matter(output, cuts):
    assert parse(output, cuts) == parse(output)


@given(outputs, st.lists(st.integers(0, 400), max_size=8).map(tuple))
def test_lines_that_are_skipped_are_lines_like_any_other(output, cuts):
    assert parse(output, cuts) == parse(output, cuts, EachLine)


@given(outputs)
def test_reading_it_again_finds_the_same(output):
    assert parse(output) == parse(output)


@given(st.binary(max_size=400))
@example(b"\n\n")
def test_any_bytes_are_read_without_an_error(output):
    parse(output)


@given(outputs)
def test_there_is_one_result_at_the_most_and_what_is_found_is_json(output):
    found = parse(output)
    assert sum(isinstance(each, Result) for each in found) <= 1
    for each in found:
        if not isinstance(each, Malformed):
            json.loads(each.value)


@given(st.lists(log_lines), json_values, st.lists(log_lines))
def test_a_result_among_log_lines_is_found_as_it_was_printed(before, value, after):
    output = b"\n".join([*before, b"PlanQK:Job:Result: " + value, *after])
    assert results(output) == [value]


@given(st.lists(log_lines), json_values, st.integers(0, 3))
def test_a_block_among_log_lines_is_found_as_it_was_printed(before, value, indent):
    text = json.dumps(json.loads(value), indent=indent).encode()
    mark = b"PlanQK:Job:MultilineResult"
    assert results(b"\n".join([*before, mark, text, mark])) == [text]


@given(st.lists(json_values, max_size=5), st.lists(log_lines, min_size=5, max_size=5))
def test_interim_results_are_found_in_their_order(values, logs):
    pairs = zip(values, logs, strict=False)
    output = b"\n".join(line for value, log in pairs for line in (log, b"PlanQK:Job:InterimResult:" + value))
    assert interims(output) == values


@given(json_values, json_values)
def test_the_first_valid_result_wins_in_any_form(first, second):
    one = b"PlanQK:Job:Result:" + first + b"\n"
    block = b"PlanQK:Job:MultilineResult\n" + second + b"\nPlanQK:Job:MultilineResult\n"
    assert results(one + block) == [first]
    assert results(block + one) == [second]


@given(json_values)
def test_carriage_returns_do_not_matter(value):
    lines = [
        b"PlanQK:Job:InterimResult: 1",
        b"PlanQK:Job:MultilineResult",
        value,
        b"PlanQK:Job:MultilineResult",
        b"",
    ]
    assert parse(b"\r\n".join(lines)) == parse(b"\n".join(lines)) == [Interim(b"1"), Result(value)]


@pytest.mark.parametrize("space", [b"", b" ", b"    ", b"\t"])
def test_any_space_may_follow_the_colon(space):
    assert results(b"PlanQK:Job:Result:" + space + b"1") == [b"1"]


@pytest.mark.parametrize(
    "line", [b" PlanQK:Job:Result: 1", b"INFO PlanQK:Job:Result: 1", b"planqk:job:result: 1"]
)
def test_a_marker_counts_only_at_the_start_of_a_line(line):
    assert all(isinstance(found, Malformed) and found.interim for found in parse(line))


def test_a_result_after_an_invalid_one_counts():
    found = parse(b"PlanQK:Job:Result: {oops\nPlanQK:Job:Result: 2\n")
    assert isinstance(found[0], Malformed)
    assert found[1:] == [Result(b"2")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"PlanQK:Job:Result:", "line 1"),
        (b"PlanQK:Job:Result: NaN", "NaN"),
        (b"PlanQK:Job:Result: {'a': 1}", "line 1"),
        (b"PlanQK:Job:Result: \xff", "UTF-8"),
        (b"PlanQK:Job:Result: 1 2", "line 1"),
        (b"PlanQK:Job:Result: " + b"[" * 100_000, "nested"),
        (b"PlanQK:Job:MultilineResult\nnothing\nPlanQK:Job:MultilineResult", "line 2"),
        (b"log\nPlanQK:Job:MultilineResult\n1\n", "line 2 of the output is never closed"),
    ],
)
def test_what_is_no_result_is_reported_with_its_place(line, words):
    (fault,) = faults(line)
    assert words in fault.detail
    assert not fault.interim


def test_an_invalid_interim_result_is_distinguished():
    (fault,) = faults(b"PlanQK:Job:InterimResult: {oops\n")
    assert fault.interim


def test_interim_markers_in_a_block_belong_to_the_block():
    output = b"PlanQK:Job:MultilineResult\nPlanQK:Job:InterimResult: 1\nPlanQK:Job:MultilineResult\n"
    assert interims(output) == []
    assert len(faults(output)) == 1


def test_a_long_result_is_read_whole_and_a_long_log_line_is_skipped():
    value = b'"' + b"x" * (3 * LONGEST_LINE) + b'"'
    log = b"y" * (LIMIT * 2)
    assert results(log + b"\nPlanQK:Job:Result: " + value + b"\n" + log) == [value]


def test_a_result_that_is_too_long_is_reported():
    (fault,) = faults(b"PlanQK:Job:Result: " + b"1" * (LIMIT + 1) + b"\n")
    assert "larger than" in fault.detail


def test_a_block_that_is_too_long_is_reported_and_not_kept(monkeypatch):
    monkeypatch.setattr(markers, "LONGEST_BLOCK", 100)
    (fault,) = faults(b"PlanQK:Job:MultilineResult\n" + b"1\n" * 100 + b"PlanQK:Job:MultilineResult\n")
    assert "100 are allowed" in fault.detail


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (b"\xef\xbb\xbf", "byte order mark"),
        (b"  ", "white space"),
        (b"\t", "white space"),
        (b"\xc2\xa0\xe2\x80\x8b", "white space"),
        (b"\x1b]0;a title\x07", "colour code"),
        (b"\x1b[32m", "colour code"),
        (b"\x1b[0m \x1b[1;31m", "colour code"),
        (b" 50 %|#####     |\r100 %|##########|\r", "progress bar"),
    ],
)
@pytest.mark.parametrize("parser", [MarkersParser, EachLine])
@pytest.mark.parametrize("mark", [b"PlanQK:Job:Result: 1", b"PlanQK:Job:MultilineResult"])
def test_a_mark_that_is_nearly_at_the_start_of_its_line_is_noted(before, words, parser, mark):
    (found,) = parse(b"a log line\n" + before + mark + b"\nanother\n", parser=parser)
    assert isinstance(found, Malformed)
    assert found.interim
    assert "in line 2 of" in found.detail
    assert words in found.detail


@pytest.mark.parametrize(
    "line",
    [
        b"# PlanQK:Job:Result: 1",
        b'print("PlanQK:Job:Result: 1")',
        b" PlanQK:Job:Results",
        b" PlanQK:Job:InterimResult: 1",
        b" " * 2000 + b"PlanQK:Job:Result: 1",
        b"PlanQK:Job:Result: 1\n PlanQK:Job:Result: 2",
    ],
)
@pytest.mark.parametrize("parser", [MarkersParser, EachLine])
def test_a_mark_within_a_line_is_a_part_of_the_line(line, parser):
    assert not [each for each in parse(line + b"\n", parser=parser) if isinstance(each, Malformed)]
