"""Measuring: the same jobs through two lanes, turn by turn, so that both meet the same machine."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import time
from dataclasses import dataclass
from typing import Protocol, Self

_JOB: dict[str, object] = {"values": [1, 2, 39]}
_RESULT = {"sum": 42}


class Lane(Protocol):
    """A way to run one job."""

    name: str

    async def run(self, data: dict[str, object]) -> object:
        """Run one job and return its result."""


@dataclass(frozen=True)
class Latency:
    """Submit to result on an idle machine, in milliseconds."""

    treadle: list[float]
    plain: list[float]

    @classmethod
    async def measure(cls, treadle: Lane, plain: Lane, rounds: int) -> Self:
        """Run one job at a time, the lanes in turn."""
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for lane, taken in zip((treadle, plain), times, strict=True):
                start = time.perf_counter()
                assert await lane.run(_JOB) == _RESULT
                taken.append((time.perf_counter() - start) * 1000)
        return cls(*times)

    def __str__(self) -> str:
        lines = ["submit to result, idle      p50         p95"]
        rows = (("treadle", self.treadle), ("python -c", self.plain))
        for name, taken in rows:
            lines.append(f"  {name:<20} {_percentile(taken, 50):8.2f} ms {_percentile(taken, 95):8.2f} ms")
        ratios = [_percentile(self.treadle, at) / _percentile(self.plain, at) for at in (50, 95)]
        lines.append(f"  {'treadle : python -c':<20} {ratios[0]:8.2f}    {ratios[1]:8.2f}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Throughput:
    """Jobs per second, some at a time."""

    jobs: int
    lanes: int
    treadle: float
    plain: float

    @classmethod
    async def measure(cls, treadle: Lane, plain: Lane, jobs: int, lanes: int) -> Self:
        """Run all jobs through one lane, then through the other; Treadle has them all in its queue."""
        return cls(jobs, lanes, await _rate(treadle, jobs, jobs), await _rate(plain, jobs, lanes))

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.jobs} jobs, {self.lanes} at a time",
                f"  {'treadle':<20} {self.treadle:8.1f} jobs/s",
                f"  {'python -c':<20} {self.plain:8.1f} jobs/s",
                f"  {'treadle : python -c':<20} {self.treadle / self.plain:8.2f}",
            ]
        )


async def _rate(lane: Lane, jobs: int, at_a_time: int) -> float:
    gate = asyncio.Semaphore(at_a_time)

    async def one() -> None:
        async with gate:
            assert await lane.run(_JOB) == _RESULT

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(jobs)))
    return jobs / (time.perf_counter() - start)


def _percentile(values: list[float], at: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[at - 1]


def header() -> str:
    """Say what machine this is."""
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, Linux {platform.release()}"
