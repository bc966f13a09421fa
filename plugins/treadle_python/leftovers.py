"""What may be alive of an attempt whose supervisor nobody knows: found by a mark in its environment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from treadle import Attempt
from treadle_python.environment import MARK, mark
from treadle_python.supervisor_handle import SupervisorHandle, start_time
from treadle_python.treadle_inside.protocol import PROCESS


class Leftovers:
    """What earlier engines have left, seen by one runtime; it is used in the event loop."""

    def __init__(self) -> None:
        """Look at nothing yet."""
        self._made = datetime.now(UTC)
        """An older attempt is that of an earlier engine."""
        self._marks: asyncio.Task[set[str]] | None = None
        """The marks of what was alive when this engine was about to start its first attempt."""

    async def end(self, attempt: Attempt) -> bool:
        """Kill what may be alive of an attempt that has no process.json; return whether it may be started.

        A program without a mount namespace may have removed its whole folder, before the engine was killed:
        then the job looks as if it had never begun.
        """
        if attempt.started < self._made:
            return await asyncio.to_thread(_end_older, attempt)
        if self._marks is None:
            self._marks = asyncio.create_task(asyncio.to_thread(_marks))
        if mark(attempt) in await asyncio.shield(self._marks):
            await asyncio.to_thread(kill_marked, mark(attempt))
        return True


def kill_marked(mark: str) -> None:
    """Kill every process that was started with `mark` in its environment.

    These are the processes that a killed supervisor without a PID namespace leaves. A program's descendants
    inherit the mark; a new session or a new parent does not change it.
    """
    variable = mark.encode()
    alive = True
    while alive:
        alive = False
        for pid, variables in _environments():
            if variable in variables:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    alive = start_time(pid) is not None


def _end_older(attempt: Attempt) -> bool:
    """End an attempt of an earlier engine, as `Leftovers.end` does.

    That engine was killed before the start, or the program has removed process.json. A fence keeps a late
    supervisor of the earlier engine from beginning meanwhile. If it was first, it is the one to be adopted.
    """
    if not SupervisorHandle.fence(attempt.folder).fenced:
        return False
    kill_marked(mark(attempt))
    (attempt.folder / PROCESS).unlink(missing_ok=True)
    return True


def _marks() -> set[str]:
    """Return the marks of all processes that are alive."""
    begin = f"{MARK}=".encode()
    return {
        each.decode(errors="replace")
        for _, variables in _environments()
        for each in variables
        if each.startswith(begin)
    }


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    """Yield the pid and the variables of each process, as it was started with them."""
    for process in Path("/proc").iterdir():
        # Not glob("*/environ"): that raises for a process that ends meanwhile.
        with suppress(OSError):
            if process.name.isdigit():
                yield int(process.name), (process / "environ").read_bytes().split(b"\0")
