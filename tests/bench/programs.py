"""Programs that are not trivial: one that imports numpy, and one of a large payload and result."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.measure import Lane, Row, measure
from tests.bench.plain import PlainStart
from tests.bench.treadle_lane import TreadleLane
from tests.bench.venvs import make_venv

_SUM = "def run(data: dict, params: dict) -> dict:\n    return {'sum': sum(data['values'])}\n"
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
        "treadle, a trivial function": _project(folder / "trivial", _SUM, venv),
        "treadle, numpy preloaded": _project(folder / "preloaded", _NUMPY, venv, 'preload = ["numpy"]'),
        "treadle, numpy not preloaded": _project(folder / "forked", _NUMPY, venv),
        'treadle, numpy, start = "spawn"': _project(folder / "spawned", _NUMPY, venv, 'start = "spawn"'),
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
    project = await asyncio.to_thread(_project, folder / "echo", _ECHO)
    async with TreadleLane(project, folder / "spool-echo", jobs=2) as treadle:
        return await measure([treadle, PlainStart(project)], rounds, jobs, _LARGE, _LARGE)


def _project(folder: Path, program: str, venv: Path | None = None, *options: str) -> Path:
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "program.py").write_text(program)
    lines = [f'name = "{folder.name}"', *([f'python = "{venv}"'] if venv else []), *options]
    (folder / "treadle.toml").write_text("\n".join(lines) + "\n")
    return folder
