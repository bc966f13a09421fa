"""Large findings: read in a thread, and no others than small ones; none is lost when following ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from treadle import Interim, OutputParser, Result
from treadle.dispatch.following import OutputFollower, Turns
from treadle.dispatch.output import Findings, OutputReader
from treadle.interface.attempt import Attempt
from treadle.interface.parser import Found
from treadle.testing import make_attempt
from treadle.watch.changes import Changes
from treadle_markers import MarkersParser
from treadle_spool.outputs import read_interim

MARK = b"PlanQK:Job:"
LARGE = b'{"list": [' + b"[[1]], " * 200_000 + b"1]}"
BLOCK = LARGE.replace(b" ", b"\n")


@pytest.fixture
def attempt(tmp_path):
    return make_attempt(tmp_path / "spool")


def follow(attempt: Attempt, output: bytes, pauses: int = 0, parser: OutputParser | None = None):
    """Follow the output for some turns of the event loop, read its rest; return what was found and told."""
    told: list[bytes] = []

    async def run() -> Findings:
        reader = OutputReader(attempt.stdout, parser or MarkersParser(), 2**30)
        async with Changes() as changes:
            follower = OutputFollower(attempt, reader, changes, Turns(), told.append)
            attempt.stdout.write_bytes(output)
            follower._begin(lambda: None)
            for _ in range(pauses):
                await asyncio.sleep(0)
            try:
                await follower.read_rest()
            finally:
                await follower.close()
            return follower.findings

    return asyncio.run(run()), told


@pytest.mark.parametrize("pauses", [0, 3, 20, 100, 1000])
@pytest.mark.parametrize("end", [b"\n", b""], ids=["a line", "an open line"])
def test_large_findings_are_no_others_than_small_ones(attempt, pauses, end):
    lines = [b"InterimResult: 0", b"InterimResult: " + LARGE, b"InterimResult: 1", b"Result: " + LARGE]
    findings, told = follow(attempt, b"\n".join(MARK + line for line in lines) + end, pauses)
    assert told == [b"0", LARGE, b"1"]
    assert read_interim(attempt.folder) == told
    assert findings.result == LARGE


@pytest.mark.parametrize("pauses", [0, 3, 20, 100])
def test_no_interim_result_is_lost_when_the_program_ends_meanwhile(attempt, pauses):
    output = b"".join(MARK + b"InterimResult: %d\n" % number for number in range(20_000))
    findings, told = follow(attempt, output + MARK + b"Result: 1\n", pauses)
    assert findings.result == b"1"
    assert [*map(int, told)] == list(range(20_000))
    assert read_interim(attempt.folder) == told


@pytest.mark.parametrize("pauses", [0, 50])
def test_a_large_block_is_the_result(attempt, pauses):
    block = b"%sMultilineResult\n" % MARK
    findings, _ = follow(attempt, block + BLOCK + b"\n" + block, pauses)
    assert findings.result == BLOCK


@pytest.mark.parametrize(
    ("value", "why"), [(LARGE[:-1], "truncated"), (LARGE + b"x", "trailing"), (b"\xff" + LARGE, "byte 0")]
)
def test_a_large_result_that_is_not_valid_is_told(attempt, value, why):
    findings, _ = follow(attempt, MARK + b"Result: " + value + b"\n")
    assert findings.result is None
    assert why in (findings.malformed or "")


class Threads(OutputParser):
    """Wants all lines whole; finds the name of the thread in which each is fed."""

    name = "threads"
    collects = 0

    def wants_whole(self, head: bytes) -> bool:
        return True

    def collected(self) -> int:
        return self.collects

    def feed(self, line: bytes) -> Iterator[Found]:
        self.collects = int(line) if line.isdigit() else 0
        yield Interim(b"%d" % (threading.current_thread() is threading.main_thread()))


def test_only_what_may_be_large_is_fed_in_a_thread(attempt):
    long = b"x" * 1_000_000
    assert follow(attempt, b"x\n" + long + b"\n", 0, Threads())[1] == [b"1", b"0"]


def test_what_is_collected_counts_from_the_next_bytes_on(attempt):
    lines = b"1000000\n" + b" " * 300_000 + b"\n1000000\n" + b"x" * 300_000 + b"\nx\n"
    assert follow(attempt, lines, 0, Threads())[1][-1] == b"0"


class Fails(OutputParser):
    name = "fails"

    def feed(self, line: bytes) -> Iterator[Found]:
        yield Result(line)

    def collected(self) -> int:
        raise ValueError("no")


def test_a_parser_that_fails_is_not_asked_again(attempt):
    findings, _ = follow(attempt, b"1\n2\n", 3, Fails())
    assert findings.result == b"1"
    assert findings.malformed == "output parser fails failed: no"


def test_large_output_takes_no_time_of_the_event_loop(attempt):
    output = MARK + b"Result: " + LARGE.replace(b"1]}", b"[[1]], " * 4_000_000 + b"1]}")
    attempt.stdout.write_bytes(output + b"\n")
    slowest = 0.0

    async def watch() -> None:
        nonlocal slowest
        while True:
            begun = time.thread_time()
            await asyncio.sleep(0.001)
            slowest = max(slowest, time.thread_time() - begun)

    async def run() -> bytes | None:
        reader = OutputReader(attempt.stdout, MarkersParser(), 2**30)
        async with Changes() as changes:
            follower = OutputFollower(attempt, reader, changes, Turns(), lambda _: None)
            watching = asyncio.create_task(watch())
            await follower.read_rest()
            watching.cancel()
            await follower.close()
            return follower.findings.result

    assert asyncio.run(run()) is not None
    assert slowest < 0.05


def test_a_disk_that_fails_in_the_thread_is_told_as_one_that_fails_elsewhere(attempt, monkeypatch):
    def refuse(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("treadle_spool.outputs.InterimFile.add", refuse)
    for pauses in (0, 1000):
        with pytest.raises(OSError, match="No space"):
            follow(attempt, MARK + b"InterimResult: " + LARGE + b"\n", pauses)
