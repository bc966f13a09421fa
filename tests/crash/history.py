"""What clients were told and what programs recorded by themselves, and whether the two can be true together.

A program returns its data; or `{"data": ..., "run": ...}` with a random name for each of its runs, so that
the result of one run can be told from that of another.

The checker knows nothing of how the engine works: it reads the history, the records and done/.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
RECORDING = """
import os, time, uuid

def run(data):
    me = uuid.uuid4().hex
    path = os.path.join(data['records'], os.environ['TREADLE_JOB_ID'])
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for what in ('begin', *['beat'] * data['beats'], 'end'):
        os.write(record, f'{me} {what}\\n'.encode())
        time.sleep(0.02)
"""
"""The beginning of a program that records when it runs; it goes on with what it returns."""


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome, as a client was told it."""

    job: str
    status: str
    result: bytes | None


@dataclass(slots=True)
class History:
    """What clients did and were told, in the order in which they were."""

    accepted: dict[str, Any] = field(default_factory=dict)
    """The data of each job that was answered with 201."""
    cancelled: set[str] = field(default_factory=set)
    """Jobs whose cancel was asked for, whatever the answer was."""
    struck: set[str] = field(default_factory=set)
    """Jobs whose supervisor, or whose container's monitor, was killed."""
    told: list[Told] = field(default_factory=list)
    power_cuts: bool = False
    """Whether the host went down: an attempt is counted then only if it was made durable."""


def violations(history: History, spool: Path, records: Path) -> Iterator[str]:
    """Yield what must not be: a lost job, two attempts alive, a wrong, second or changed result."""
    told: defaultdict[str, set[tuple[str, bytes | None]]] = defaultdict(set)
    for each in history.told:
        told[each.job].add((each.status, each.result))
    for job, outcomes in told.items():
        if len(outcomes) > 1:
            yield f"{job}: its outcome changed after it was first seen: {sorted(map(str, outcomes))}"
    for job, data in history.accepted.items():
        done = spool / "done" / job
        if not (done / "status.json").exists():
            yield f"{job}: it was accepted and is lost"
            continue
        status = json.loads((done / "status.json").read_bytes())
        result = (done / "result.json").read_bytes() if (done / "result.json").exists() else None
        if told[job] - {(status["status"], result)}:
            yield f"{job}: a client was told another outcome than the one that is kept"
        yield from _wrong_outcome(job, data, status, result, history)
        runs = _runs(done, records / job)
        yield from _wrong_runs(job, status, runs, history.power_cuts)
        if status["status"] == "SUCCEEDED" and result:
            yield from _another_run(job, result, runs)
    for place in ("queue", "run", "cancel"):
        for left in (spool / place).iterdir():
            yield f"{place}/{left.name} is left behind"


def _wrong_outcome(
    job: str, data: Any, status: dict[str, Any], result: bytes | None, history: History
) -> Iterator[str]:
    reasons = [attempt["reason"] for attempt in status["attempts"]]
    match status["status"]:
        case "SUCCEEDED" if not result or _data_of(result) != data:
            yield f"{job}: its result is {result!r} and not its input, {data!r}"
        case "CANCELLED" if job not in history.cancelled:
            yield f"{job}: it is cancelled without a request"
        case "FAILED" if job in history.struck and status["attempts"][-1].get("code") == 128 + SIGKILL:
            pass  # Docker ends a container whose monitor is gone, and says that it was killed
        case "FAILED" if set(reasons) != {"lost"} or len(reasons) < 2:
            yield f"{job}: it failed, and not for having been lost as often as allowed: {reasons}, {result!r}"
        case other if other not in ENDED:
            yield f"{job}: it is in done/ and {other}"


def _data_of(result: bytes) -> Any:
    value = json.loads(result)
    return value["data"] if isinstance(value, dict) and "run" in value else value


def _another_run(job: str, result: bytes, runs: list[tuple[str, str]]) -> Iterator[str]:
    """Check that a result which names its run is that of the last run."""
    value = json.loads(result)
    if isinstance(value, dict) and "run" in value and value["run"] not in [run for run, _ in runs[-1:]]:
        yield f"{job}: its result is of the run {value['run']}, and the last one was another: {runs}"


def _wrong_runs(
    job: str, status: dict[str, Any], runs: list[tuple[str, str]], power_cuts: bool
) -> Iterator[str]:
    """Check the runs of a job's program: who wrote, and what, in the order in which it was written."""
    seen: list[str] = []
    for run, _ in runs:
        if seen and run == seen[-1]:
            continue
        if run in seen:
            yield f"{job}: two of its attempts were alive at the same time: {runs}"
            return
        seen.append(run)
    if len(seen) > len(status["attempts"]) and not power_cuts:
        yield f"{job}: its program ran {len(seen)} times in {len(status['attempts'])} attempts"
    if status["status"] == "SUCCEEDED" and (not runs or runs[-1][1] != "end"):
        yield f"{job}: it succeeded, and its program has not come to its end: {runs}"


def _runs(done: Path, record: Path) -> list[tuple[str, str]]:
    """Return the lines `<run> <what>` of the record that a program kept, or of what it printed and when."""
    if record.exists():
        lines = record.read_text().splitlines()
        return [(run, what) for run, what in (line.split() for line in lines)]
    beats = []
    for log in (*sorted(done.glob("attempts/*/stdout.log")), done / "stdout.log"):
        if log.exists():
            for line in log.read_text().splitlines():
                if line.startswith("beat "):
                    _, run, moment, what = line.split()
                    beats.append((float(moment), run, what))
    return [(run, what) for _, run, what in sorted(beats, key=lambda beat: beat[0])]
