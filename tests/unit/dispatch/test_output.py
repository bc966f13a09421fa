"""Output is parsed by slices of time, whatever it is and however slow its parser is."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treadle.dispatch.following import OutputFollower, Turns
from treadle.dispatch.output import SLICE, OutputReader
from treadle.interface.parser import Found, Interim, Malformed, OutputParser
from treadle.testing import make_attempt
from treadle_spool.outputs import read_interim

SLOW = SLICE / 4
LINES = 50
MIB = 1024 * 1024


class Slow(OutputParser):
    """Takes its time for each line, and finds nothing."""

    name = "slow"
    lines = 0

    def feed(self, line: bytes) -> Iterator[Found]:
        self.lines += 1
        time.sleep(SLOW)
        return iter(())


class Chatty(OutputParser):
    """Finds something in each line."""

    name = "chatty"

    def feed(self, line: bytes) -> Iterator[Found]:
        yield Interim(line)

    def finish(self) -> Iterator[Found]:
        for number in range(LINES):
            time.sleep(SLOW)
            yield Interim(b"%d" % number)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "run" / "job" / "stdout.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def findings(reader: OutputReader) -> Iterator[Found]:
    """Yield what the reader finds up to its end; on a busy host a slice may be over before it has begun."""
    yield from reader.read()
    while not reader.at_end:
        yield from reader.read()


def test_a_slow_parser_is_given_some_lines_at_a_time_and_all_of_them_in_the_end(tmp_path):
    parser = Slow()
    reader = OutputReader(written(tmp_path, b"\n" * LINES), parser, MIB)
    slices = 0
    while not reader.at_end or not slices:
        before = parser.lines
        assert list(reader.read()) == []
        slices += 1
        assert parser.lines - before <= SLICE / SLOW + 1
    assert parser.lines == LINES
    assert slices > 5
    reader.close()


def test_what_the_end_completes_is_taken_by_slices_too(tmp_path):
    reader = OutputReader(written(tmp_path, b""), Chatty(), MIB)
    assert list(findings(reader)) == []
    reader.finish()
    slices = []
    while not slices or not reader.at_end:
        slices.append(list(reader.read()))
    assert len(slices) > 5
    found = [each for part in slices for each in part]
    assert found == [Interim(b"%d" % number) for number in range(LINES)]
    reader.close()


def test_a_reader_that_is_left_between_two_findings_goes_on_with_the_next(tmp_path):
    reader = OutputReader(written(tmp_path, b"1\n2\n3\n"), Chatty(), MIB)
    assert next(findings(reader)) == Interim(b"1")
    assert list(findings(reader)) == [Interim(b"2"), Interim(b"3")]
    reader.close()


def test_a_file_that_is_replaced_is_told_once(tmp_path):
    path = tmp_path / "run" / "job" / "stdout.log"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    reader = OutputReader(path, Chatty(), MIB)
    (found,) = findings(reader)
    assert isinstance(found, Malformed)
    assert list(findings(reader)) == []
    reader.finish()
    assert len(list(findings(reader))) >= 1


class Watched:
    """Stands for Changes: nothing ever changes."""

    @contextmanager
    def inside(self, *_: object) -> Iterator[asyncio.Event]:
        yield asyncio.Event()


class Busy:
    """Stands for a reader with ten slices of work; notes at which turn of the event loop each was done."""

    longest = MIB

    def __init__(self, ticks: list[int], done: list[int]) -> None:
        self.at_end = False
        self._ticks, self._done, self._left = ticks, done, 10

    def read(self) -> Iterator[Found]:
        if not self.at_end:
            self._done.append(len(self._ticks))
        self._left -= 1
        self.at_end = self._left <= 0
        return iter(())

    def is_slow(self) -> bool:
        return False

    def finish(self) -> None: ...

    def close(self) -> None: ...


async def test_however_many_programs_print_much_each_turn_of_the_event_loop_parses_one_slice(tmp_path):
    ticks: list[int] = []
    done: list[int] = []

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0)

    attempt, turns = make_attempt(tmp_path), Turns()
    ticking = asyncio.create_task(tick())
    followers = [OutputFollower(attempt, Busy(ticks, done), Watched(), turns, len) for _ in range(5)]
    await asyncio.gather(*(follower.read_rest() for follower in followers))
    ticking.cancel()
    later = done[5:]  # the first slice of each comes at once
    assert len(later) > 40
    assert len(set(later)) == len(later)


async def test_findings_are_kept_when_following_ends_while_their_file_is_opened(tmp_path, monkeypatch):
    """Of an attempt with many earlier results, which are counted in a thread before a new one is added."""
    attempt, told = make_attempt(tmp_path), []
    lines = [b"%d" % number for number in range(100)]
    attempt.stdout.write_bytes(b"".join(line + b"\n" for line in lines))
    (attempt.folder / "interim.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[:50]))
    monkeypatch.setattr("treadle.dispatch.following._LARGE", 1)
    monkeypatch.setattr("treadle.dispatch.following._FOLLOW_DELAY", 0)
    reader = OutputReader(attempt.stdout, Lines(), MIB)
    follower = OutputFollower(attempt, reader, Watched(), Turns(), told.append)
    follower.follow(on_fault=lambda: None)
    for _ in range(4):
        await asyncio.sleep(0)  # until it opens the file in a thread
    await follower.read_rest()
    await follower.close()
    assert told == lines[50:]
    assert read_interim(attempt.folder) == lines


class Lines(OutputParser):
    """Finds an interim result in each line."""

    name = "lines"

    def feed(self, line: bytes) -> Iterator[Found]:
        yield Interim(line)
