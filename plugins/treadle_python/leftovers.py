"""What may be alive of an attempt whose supervisor nobody knows: found by a mark in its environment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from treadle_python.supervisor_handle import SupervisorHandle, start_time
from treadle_python.treadle_inside.protocol import PROCESS


def kill_marked(mark: str) -> None:
    """Kill every process that was started with `mark` in its environment.

    These are the processes that a killed supervisor without a PID namespace leaves. A program's descendants
    inherit the mark; a new session or a new parent does not change it.
    """
    variable = mark.encode()
    alive = True
    while alive:
        alive = False
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if variable in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)
                    alive = start_time(int(environ.parent.name)) is not None


def kill_unidentified(folder: Path, mark: str) -> bool:
    """Kill what may be alive of an attempt that has no process.json; return whether it may be started.

    For an attempt of an earlier engine: that one was killed before the start, or a program without a mount
    namespace has removed the file. A fence keeps a late supervisor of the earlier engine from beginning
    meanwhile. If it was first, it is the one to be adopted. Blocks on /proc.
    """
    if not SupervisorHandle.fence(folder).fenced:
        return False
    kill_marked(mark)
    (folder / PROCESS).unlink(missing_ok=True)
    return True
