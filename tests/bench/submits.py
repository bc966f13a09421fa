"""Submitting alone: how near a durable accept over HTTP is to what the file system can do."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from tests.bench.measure import JOB
from tests.bench.places import Places
from tests.bench.project import make_project
from tests.bench.treadle_lane import TreadleLane

_WRITERS = 16
_BATCHES = 5


async def submits(places: Places, jobs: int) -> str:
    """Submit many jobs to a process that runs none, and write as many files without any engine, in turn."""
    project = make_project(places.new("project"))
    bare = _Bare(places.new("bare"))
    over_http = alone = 0.0
    async with TreadleLane(project, places.new("spool"), 2, "--api-only") as lane:
        for _ in range(_BATCHES):
            over_http += await _submit(lane, jobs // _BATCHES)
            alone += await asyncio.to_thread(bare.write, jobs // _BATCHES)
    number = jobs // _BATCHES * _BATCHES
    return "\n".join(
        [
            f"submitting alone, {_WRITERS} at a time",
            f"  treadle, over HTTP: {number / over_http:.0f} jobs/s",
            f"  bare fsync + link + fsync of the folder: {number / alone:.0f} files/s",
            f"  ratio {alone / over_http:.2f}",
        ]
    )


async def _submit(lane: TreadleLane, jobs: int) -> float:
    """Return the seconds that so many jobs take."""
    left = iter(range(jobs))

    async def work() -> None:
        for _ in left:
            await lane.submit(JOB)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(_WRITERS)))
    return time.perf_counter() - begun


class _Bare:
    """What a durable accept can't do without, by as many writers."""

    def __init__(self, folder: Path) -> None:
        self._staging, self._queue = folder / "tmp", folder / "queue"
        self._staging.mkdir(parents=True)
        self._queue.mkdir()
        self._numbers = itertools.count()

    def write(self, files: int) -> float:
        """Return the seconds that so many files take."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(self._one, itertools.islice(self._numbers, files)))
        return time.perf_counter() - begun

    def _one(self, number: int) -> None:
        staged = self._staging / str(number)
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, orjson.dumps(JOB))
        os.fsync(fd)
        os.close(fd)
        os.link(staged, self._queue / str(number))
        staged.unlink()
        fd = os.open(self._queue, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
