"""A tool's run: uv, pip or venv as a command, whose output is shown line by line."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from treadle import StartError
from treadle_python.building.tool_faults import explain

_KEPT = 200
"""Lines of the output that an error is made of."""
_LINE = 2**20
_GRACE = 5.0
"""Seconds that an interrupted tool has to end before it is killed."""
_NOT_INHERITED = (
    "CONDA_PREFIX",
    "PIP_PREFIX",
    "PIP_TARGET",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "VIRTUAL_ENV",
)
"""Variables that would lead a tool to another environment."""


class Tools:
    """Runs the tools of one build or one collection, one after the other."""

    def __init__(
        self, folder: Path, report: Callable[[str], None], *, lock: int | None = None, offline: bool = False
    ) -> None:
        """Run them in a folder; report is called with each line. They inherit the descriptor of the lock."""
        self._folder = folder
        self._report = report
        self._inherited = () if lock is None else (lock,)
        self._offline = offline

    async def run(
        self, what: str, argv: Sequence[str | Path], variables: Mapping[str, str] | None = None
    ) -> None:
        """Run a tool to its end, with further variables; raise StartError if it fails.

        A cancelled call ends the tool and its children first.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *map(str, argv),
                cwd=self._folder,
                env={**_environment(), **(variables or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it by us, and so do its children
                pass_fds=self._inherited,
                limit=_LINE,
            )
        except OSError as error:
            raise StartError("BUILD_FAILED", f"{argv[0]} can't be started: {error.strerror}") from error
        output: deque[str] = deque(maxlen=_KEPT)
        try:
            await self._follow(process, output)
            code = await process.wait()
        except BaseException:
            await _end(process)
            raise
        if code != 0:
            raise StartError("BUILD_FAILED", explain(what, output, offline=self._offline))

    async def _follow(self, process: asyncio.subprocess.Process, output: deque[str]) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            if line := raw.decode("utf-8", "replace").rstrip():
                output.append(line)
                self._report(line)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {
        **kept,
        "NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_USER": "0",
        "PYTHONUNBUFFERED": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a tool with all that it has started; what is left of its group after SIGTERM is killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
