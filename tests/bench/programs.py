"""Programs that are not trivial: one that imports numpy, and one of a large payload and result."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.measure import Lane, Row, measure
from tests.bench.plain import PlainStart
from tests.bench.project import SUM, make_project
from tests.bench.treadle_lane import TreadleLane
from tests.bench.venvs import make_venv

_NUMPY = (
    "import numpy\n\n"
    "def run(data: dict, params: dict) -> dict:\n    return {'sum': int(numpy.sum(data['values']))}\n"
)
_ECHO = "def run(data: dict, params: dict) -> dict:\n    return data\n"
_LARGE = {"text": "x" * 10 * 1024 * 1024}


async def numpy(folder: Path, rounds: int, jobs: int) -> list[Row]:
    """Measure a job that imports numpy, started in each way, beside a trivial one."""
    venv = await make_venv(folder / "venv-numpy", "numpy")
    projects = {
        "treadle, a trivial function": make_project(folder / "trivial", SUM, venv),
        "treadle, numpy preloaded": make_project(folder / "preloaded", _NUMPY, venv, 'preload = ["numpy"]'),
        "treadle, numpy not preloaded": make_project(folder / "forked", _NUMPY, venv),
        'treadle, numpy, start = "spawn"': make_project(folder / "spawned", _NUMPY, venv, 'start = "spawn"'),
    }
    async with AsyncExitStack() as stack:
        lanes: list[Lane] = [
            await stack.enter_async_context(TreadleLane(project, project / "spool", jobs=2, name=name))
            for name, project in projects.items()
        ]
        lanes.append(PlainStart(folder / "forked", venv / "bin" / "python", "python -c, numpy"))
        return await measure(lanes, rounds, jobs)


async def payload(folder: Path, rounds: int, jobs: int) -> list[Row]:
    """Measure a job that returns the 10 MB it is given."""
    project = await asyncio.to_thread(make_project, folder / "echo", _ECHO)
    async with TreadleLane(project, folder / "spool-echo", jobs=2) as treadle:
        return await measure([treadle, PlainStart(project)], rounds, jobs, _LARGE, _LARGE)
