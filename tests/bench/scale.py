"""What one step costs in a small spool and in a large one."""

from __future__ import annotations

import itertools
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.bench.places import Places
from treadle.dispatch.backlog import Backlog
from treadle.interface.job import Job
from treadle.interface.service import Service
from treadle_spool import Descriptor, Spool, State, Status, now

_SMALL = 100
_ROUNDS = 300
_POLLED = 30
"""Ended jobs that are looked at, again and again: what the disk takes for a first look is not measured."""
_SERVICE = "sum"


def scale(places: Places, queued: int, ended: int) -> str:
    """Measure each step with 100 jobs queued and ended, and with many, in turn; return a table."""
    small = _Spool(places.new("small"), _SMALL, _SMALL)
    large = _Spool(places.new("large"), queued, ended)
    lines = [
        f"one step, with {queued:,} jobs queued and {ended:,} ended, beside {_SMALL} of each (medians)",
        "| step | few | many | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for name in small.steps:
        few, many = _measure(small.steps[name], large.steps[name])
        lines.append(f"| {name} | {few:.0f} µs | {many:.0f} µs | {many / few:.2f} |")
    lines.append(
        f"| look at all of queue/, per job | {small.listing():.1f} µs | {large.listing():.1f} µs | |"
    )
    lines.append(f"\nMemory of a waiting job: {_memory(queued):.0f} bytes")
    return "\n".join(lines)


def _measure(*steps: Callable[[], object]) -> Iterable[float]:
    """Return the median of each step in microseconds; they take turns."""
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(_ROUNDS):
        for step, times in zip(steps, taken, strict=True):
            begun = time.perf_counter()
            step()
            times.append((time.perf_counter() - begun) * 1e6)
    return map(statistics.median, taken)


class _Spool:
    """A spool with so many jobs, and the steps that are measured."""

    def __init__(self, root: Path, queued: int, ended: int) -> None:
        self._spool = Spool.open(root)
        self._owner = self._spool.lock().__enter__()  # until the process ends
        self._fill(queued, ended)
        self._backlog = _backlog(queued)
        self._names = (f"queued-{number % queued}" for number in itertools.count())
        apart = ended // _POLLED
        self._ended = (f"ended-{number % _POLLED * apart}" for number in itertools.count())

    @property
    def steps(self) -> Mapping[str, Callable[[], object]]:
        """The steps by name."""
        return {
            "submit (durable)": lambda: self._spool.accept(Descriptor(service=_SERVICE)),
            "status of a waiting job": lambda: self._spool.look_up("queued-0"),
            "status of an ended job": lambda: self._spool.look_up(next(self._ended)),
            "claim, and take it back": self._claim,
            "add to and take from the backlog": self._add_and_take,
        }

    def listing(self) -> float:
        """Return the microseconds per job of a rescan of queue/."""
        begun = time.perf_counter()
        jobs = sum(1 for name in self._spool.names(self._spool.queue) if name not in self._backlog)
        jobs += len(self._backlog)
        return (time.perf_counter() - begun) * 1e6 / jobs

    def _claim(self) -> None:
        name = next(self._names)
        self._owner.claim(name, None)
        self._owner.undo_claim(name)

    def _add_and_take(self) -> None:
        self._backlog.add(_job(f"new-{time.monotonic_ns()}"))
        assert self._backlog.take() is not None

    def _fill(self, queued: int, ended: int) -> None:
        """Put jobs down as an engine would have, without bringing each to the disk."""
        text = Descriptor(service=_SERVICE, created=now()).to_json()
        for number in range(queued):
            (self._spool.queue / f"queued-{number}.json").write_bytes(text)
        for number in range(ended):
            name = f"ended-{number}"
            status = Status(id=name, service=_SERVICE, status=State.SUCCEEDED, created=now(), ended=now())
            (self._spool.done / name).mkdir()
            (self._spool.done / name / "status.json").write_bytes(status.to_json())


def _job(name: str) -> Job:
    return Job.of(name, Descriptor(service=_SERVICE).accepted(now()))


def _backlog(jobs: int) -> Backlog:
    backlog = Backlog({_SERVICE: Service(name=_SERVICE, path=Path())})
    for number in range(jobs):
        backlog.add(_job(f"queued-{number}"))
    return backlog


def _memory(jobs: int) -> float:
    """Return the bytes that a waiting job takes in the engine."""
    tracemalloc.start()
    backlog = _backlog(jobs)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / len(backlog)
