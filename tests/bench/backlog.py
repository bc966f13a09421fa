"""How fast jobs get done while others wait, few or many."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from tests.bench.places import Places
from tests.bench.project import make_project
from tests.bench.treadle_lane import TreadleLane
from treadle_spool import Descriptor, Spool

_DATA = b'{"values": [1, 2, 39]}'
_FEW = 100
_ROUNDS = 3


async def backlog(places: Places, queued: int, jobs: int) -> str:
    """Measure the rate of the next jobs where few wait behind them, and where many do; in turn."""
    project = make_project(places.new("project"))
    rates: dict[int, list[float]] = {_FEW: [], queued: []}
    for _ in range(_ROUNDS):
        for waiting, found in rates.items():
            found.append(await _rate(project, places.new("spool"), waiting, jobs))
    few, many = (sorted(found)[_ROUNDS // 2] for found in rates.values())
    return (
        f"{jobs} jobs, 2 at a time, with others waiting behind them (medians of {_ROUNDS})\n"
        f"  {_FEW:,} waiting: {few:.1f} jobs/s\n  {queued:,} waiting: {many:.1f} jobs/s\n"
        f"  ratio {many / few:.2f}"
    )


async def _rate(project: Path, root: Path, waiting: int, jobs: int) -> float:
    """Return the jobs per second, from the first outcome on: noticing them all is not measured here."""
    spool = Spool.open(root)
    text = Descriptor(service=project.name, data=msgspec.Raw(_DATA)).to_json()
    for number in range(waiting + jobs):
        (spool.queue / f"queued-{number}.json").write_bytes(text)
    async with TreadleLane(project, root, jobs=2):
        first, begun = await _ended(spool, 1)
        last, over = await _ended(spool, first + jobs)
        return (last - first) / (over - begun)


async def _ended(spool: Spool, wanted: int) -> tuple[int, float]:
    """Wait for so many outcomes; return how many there are, and when."""
    while (found := sum(1 for _ in spool.names(spool.done))) < wanted:  # noqa: ASYNC110  # seen from outside
        await asyncio.sleep(0.02)
    return found, time.perf_counter()
