from __future__ import annotations

import io
import logging

import pytest

from treadle.support.log_limit import LogLimit


@pytest.fixture
def lines(monkeypatch):
    """Return a logger that is limited to 3 lines in 10 s, what it has written, and the clock."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(LogLimit(3, 10.0))
    logger = logging.Logger("limited")
    logger.addHandler(handler)
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return logger, lambda: written.getvalue().splitlines(), clock


def test_a_flood_of_lines_is_cut_though_each_is_another(lines):
    logger, written, _ = lines
    for number in range(1000):
        logger.warning("file %d", number)
    assert written() == ["file 0", "file 1", "file 2"]


def test_the_next_line_after_a_while_says_how_many_were_left_out(lines):
    logger, written, clock = lines
    for number in range(12):
        if number == 10:
            clock[0] += 10
        logger.warning("%s", f"100% of {number}")
    assert written()[3:] == ["100% of 10 (and 7 more lines like this before)", "100% of 11"]


def test_lines_of_other_places_are_not_counted(lines):
    logger, written, _ = lines
    for _ in range(10):
        logger.warning("here")
    logger.warning("there")
    assert written() == ["here"] * 3 + ["there"]


def test_few_lines_are_never_touched(lines):
    logger, written, clock = lines
    for number in range(50):
        clock[0] += 4
        logger.warning("line %d", number)
    assert len(written()) == 50
