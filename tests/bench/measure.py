"""Measuring: the same jobs through several lanes, turn by turn, so that all meet the same machine."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

JOB: dict[str, object] = {"values": [1, 2, 39]}
RESULT = {"sum": 42}

_BATCHES = 5
"""Parts that a throughput is measured in, the lanes in turn."""


class LaneFailed(Exception):
    """What is measured does not do the job."""


class Lane(Protocol):
    """A way to run one job."""

    name: str
    at_a_time: int | None
    """How many jobs may be handed in at a time; None for a lane that queues them itself."""

    async def run(self, data: dict[str, object]) -> object:
        """Run one job and return its result."""


@dataclass
class Row:
    """What was measured of one lane."""

    lane: Lane
    data: dict[str, object]
    result: object
    times: list[float] = field(default_factory=list)
    """Milliseconds of each job that ran alone."""
    jobs: int = 0
    seconds: float = 0.0
    """What the jobs that were handed in together took."""
    fault: str | None = None
    """Why the lane did not get to the end; it has no more turns then."""

    @property
    def p50(self) -> float:
        """Return the median in milliseconds."""
        return _percentile(self.times, 50)

    @property
    def p95(self) -> float:
        """Return the 95th percentile in milliseconds."""
        return _percentile(self.times, 95)

    @property
    def rate(self) -> float:
        """Return the jobs per second."""
        return self.jobs / self.seconds

    async def run_one(self) -> None:
        """Have a turn of one job."""
        self.times.append(await self._take_turn(1) * 1000)

    async def run_many(self, jobs: int) -> None:
        """Have a turn of many jobs together."""
        self.seconds += await self._take_turn(jobs)
        self.jobs += jobs

    async def _take_turn(self, jobs: int) -> float:
        if self.fault is not None:
            return float("nan")
        try:
            return await self._many(jobs)
        except (LaneFailed, OSError, ValueError) as error:
            self.fault = str(error) or type(error).__name__
            return float("nan")

    async def _many(self, jobs: int) -> float:
        """Return the seconds that many jobs take together."""
        gate = asyncio.Semaphore(self.lane.at_a_time or jobs)

        async def one() -> None:
            async with gate:
                if (found := await self.lane.run(self.data)) != self.result:
                    raise LaneFailed(f"it returned {str(found)[:200]!r}")

        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(jobs)))
        return time.perf_counter() - start


async def measure(
    lanes: Sequence[Lane], rounds: int, jobs: int, data: dict[str, object] = JOB, result: object = RESULT
) -> list[Row]:
    """Run `rounds` jobs one after the other and `jobs` jobs together through every lane.

    Each has this data and must return this result.
    """
    rows = [Row(lane, data, result) for lane in lanes]
    for _ in range(rounds):
        for row in rows:
            await row.run_one()
    for _ in range(_BATCHES):
        for row in rows:
            await row.run_many(jobs // _BATCHES)
    return rows


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
        if row.fault is not None:
            lines.append(f"  {row.lane.name:<34} failed: {row.fault}")
            continue
        ratios = f"{first.p50 / row.p50:>10.2f} {first.rate / row.rate:>11.2f}"
        lines.append(f"  {row.lane.name:<34} {row.p50:>6.1f} ms {row.p95:>6.1f} ms {row.rate:>8.1f} {ratios}")
    return "\n".join(lines)
