"""Many clients at once: hundreds that wait for their jobs, while others hand jobs in."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import aiohttp

from tests.bench.measure import JOB
from tests.bench.treadle_lane import TreadleLane

_PER_SECOND = 100


async def clients(project: Path, spool: Path, waiting: int, seconds: float) -> str:
    """Have so many clients wait while 100 jobs a second come in; return what that was like."""
    load = _Load()
    async with TreadleLane(project, spool, jobs=2) as lane:
        await lane.run(JOB)
        waits = [asyncio.create_task(load.wait(lane)) for _ in range(waiting)]
        begun = time.perf_counter()
        submits = []
        for number in range(int(seconds * _PER_SECOND)):
            await asyncio.sleep(begun + number / _PER_SECOND - time.perf_counter())
            submits.append(asyncio.create_task(load.submit(lane)))
        await asyncio.gather(*submits)
        taken = time.perf_counter() - begun
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    p50, p99 = (statistics.quantiles(load.submitted, n=100)[at - 1] * 1000 for at in (50, 99))
    return "\n".join(
        [
            f"{waiting} clients that wait, and {_PER_SECOND} jobs a second for {seconds:g} s",
            f"  {len(load.submitted)} accepted in {taken:.1f} s, {load.ended} ended, {load.faults} errors",
            f"  at most {load.most_open} clients waited at a time",
            f"  a submit took {p50:.1f} ms (p50), {p99:.1f} ms (p99)",
        ]
    )


class _Load:
    """What the clients share, and what they met."""

    def __init__(self) -> None:
        self.submitted: list[float] = []
        self.ended = 0
        self.faults = 0
        self.most_open = 0
        self._open = 0
        self._jobs: asyncio.Queue[str] = asyncio.Queue()

    async def submit(self, lane: TreadleLane) -> None:
        """Hand one job in."""
        begun = time.perf_counter()
        try:
            job = await lane.submit(JOB)
        except aiohttp.ClientError:
            self.faults += 1
            return
        self.submitted.append(time.perf_counter() - begun)
        self._jobs.put_nowait(job)

    async def wait(self, lane: TreadleLane) -> None:
        """Wait for one job after the other."""
        while True:
            job = await self._jobs.get()
            self._open += 1
            self.most_open = max(self.most_open, self._open)
            try:
                await lane.result(job)
                self.ended += 1
            except aiohttp.ClientError:
                self.faults += 1
            finally:
                self._open -= 1
