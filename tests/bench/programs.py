"""Programs that are not trivial: one that imports numpy, and one of a large payload and result."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.bench.measure import Lane, Row, measure
from tests.bench.places import Places
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


async def numpy(places: Places, rounds: int, jobs: int) -> list[Row]:
    """Measure a job that imports numpy, started in each way, beside a trivial one."""
    venv = await make_venv(places.new("venv"), "numpy")
    options = {
        "treadle, a trivial function": (SUM,),
        "treadle, numpy preloaded": (_NUMPY, 'preload = ["numpy"]'),
        "treadle, numpy not preloaded": (_NUMPY,),
        'treadle, numpy, start = "spawn"': (_NUMPY, 'start = "spawn"'),
    }
    projects = {
        name: make_project(places.new("project"), program, venv, *lines)
        for name, (program, *lines) in options.items()
    }
    async with AsyncExitStack() as stack:
        lanes: list[Lane] = [
            await stack.enter_async_context(TreadleLane(project, places.new("spool"), jobs=2, name=name))
            for name, project in projects.items()
        ]
        lanes.append(
            PlainStart(
                make_project(places.new("project"), _NUMPY), venv / "bin" / "python", "python -c, numpy"
            )
        )
        return await measure(lanes, rounds, jobs)


async def payload(places: Places, rounds: int, jobs: int) -> list[Row]:
    """Measure a job that returns the 10 MB it is given."""
    project = await asyncio.to_thread(make_project, places.new("echo"), _ECHO)
    async with TreadleLane(project, places.new("spool"), jobs=2) as treadle:
        return await measure([treadle, PlainStart(project)], rounds, jobs, _LARGE, _LARGE)
