"""Many clients at once: hundreds that wait by long polling, while others hand jobs in."""

from __future__ import annotations

import asyncio
import statistics
import time

from tests.bench.measure import JOB, RESULT, LaneFailed
from tests.bench.places import Places
from tests.bench.project import make_project
from tests.bench.treadle_lane import TreadleLane

_PROGRAM = """import time

def run(data: dict, params: dict) -> dict:
    time.sleep(data.get("sleep", 0))
    return {"sum": sum(data["values"])}
"""
_PER_SECOND = 100


async def clients(places: Places, waiting: int, seconds: float) -> str:
    """Have so many clients wait while 100 jobs a second come in; return what that was like.

    They wait for one job that takes all that time; it has a place of its own beside the others.
    """
    project = make_project(places.new("project"), _PROGRAM)
    load = _Load()
    async with TreadleLane(project, places.new("spool"), jobs=3) as lane:
        await lane.run(JOB)
        long = await lane.submit({**JOB, "sleep": seconds})
        waits = [asyncio.create_task(lane.result(long)) for _ in range(waiting)]
        begun = time.perf_counter()
        others = []
        for number in range(int(seconds * _PER_SECOND)):
            await asyncio.sleep(begun + number / _PER_SECOND - time.perf_counter())
            others.append(asyncio.create_task(load.run(lane)))
        still = sum(not each.done() for each in waits)
        await asyncio.gather(*others)
        heard = (await asyncio.gather(*waits, return_exceptions=True)).count(RESULT)
    lines = [
        f"{waiting} clients that wait, and {_PER_SECOND} jobs a second for {seconds:g} s",
        f"  {len(load.accepted)} accepted, {len(load.ended)} ended, {load.faults} errors",
        f"  {still} waited to the end, {heard} of {waiting} were told the result",
    ]
    for what, times in (("a submit", load.accepted), ("a job, from submit to result,", load.ended)):
        p50, p99 = (statistics.quantiles(times, n=100)[at - 1] * 1000 for at in (50, 99))
        lines.append(f"  {what} took {p50:.1f} ms (p50), {p99:.1f} ms (p99)")
    return "\n".join(lines)


class _Load:
    """What the clients that hand jobs in have met."""

    def __init__(self) -> None:
        self.accepted: list[float] = []
        self.ended: list[float] = []
        """Seconds from the request on."""
        self.faults = 0

    async def run(self, lane: TreadleLane) -> None:
        """Hand one job in and wait for its result."""
        begun = time.perf_counter()
        try:
            job = await lane.submit(JOB)
            self.accepted.append(time.perf_counter() - begun)
            right = await lane.result(job) == RESULT
        except (OSError, LaneFailed):
            right = False
        if right:
            self.ended.append(time.perf_counter() - begun)
        else:
            self.faults += 1
