"""Measuring: the same jobs through several lanes, turn by turn, so that all meet the same machine."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

JOB: dict[str, object] = {"values": [1, 2, 39]}
RESULT = {"sum": 42}

_BATCHES = 5
"""Parts that a throughput is measured in, the lanes in turn."""


class Lane(Protocol):
    """A way to run one job."""

    name: str
    at_a_time: int | None
    """How many jobs may be handed in at a time; None for a lane that queues them itself."""

    async def run(self, data: dict[str, object]) -> object:
        """Run one job and return its result."""


@dataclass(frozen=True)
class Row:
    """What was measured of one lane."""

    name: str
    p50: float
    """Milliseconds."""
    p95: float
    rate: float
    """Jobs per second."""


async def measure(lanes: Sequence[Lane], rounds: int, jobs: int) -> list[Row]:
    """Run `rounds` jobs one after the other and `jobs` jobs together through every lane."""
    taken: list[list[float]] = [[] for _ in lanes]
    for _ in range(rounds):
        for lane, times in zip(lanes, taken, strict=True):
            start = time.perf_counter()
            await _one(lane)
            times.append((time.perf_counter() - start) * 1000)
    spent = [0.0 for _ in lanes]
    for _ in range(_BATCHES):
        for number, lane in enumerate(lanes):
            spent[number] += await _many(lane, jobs // _BATCHES)
    return [
        Row(lane.name, _percentile(times, 50), _percentile(times, 95), jobs // _BATCHES * _BATCHES / seconds)
        for lane, times, seconds in zip(lanes, taken, spent, strict=True)
    ]


async def _one(lane: Lane) -> None:
    if (found := await lane.run(JOB)) != RESULT:
        raise AssertionError(f"{lane.name} returned {found!r}")


async def _many(lane: Lane, jobs: int) -> float:
    """Return the seconds that many jobs take together."""
    gate = asyncio.Semaphore(lane.at_a_time or jobs)

    async def one() -> None:
        async with gate:
            await _one(lane)

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(jobs)))
    return time.perf_counter() - start


def _percentile(values: list[float], at: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[at - 1]


def header() -> str:
    """Say what machine this is."""
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def table(title: str, rows: Sequence[Row]) -> str:
    """Return the rows as text; every ratio is the first row's to that row's."""
    first = rows[0]
    lines = [f"{title:<36} {'p50':>9} {'p95':>9} {'jobs/s':>8} {'p50 ratio':>10} {'rate ratio':>11}"]
    for row in rows:
        ratios = f"{first.p50 / row.p50:>10.2f} {first.rate / row.rate:>11.2f}"
        lines.append(f"  {row.name:<34} {row.p50:>6.1f} ms {row.p95:>6.1f} ms {row.rate:>8.1f} {ratios}")
    return "\n".join(lines)
