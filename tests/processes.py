"""Ending what a test has started: a program and its supervisor outlive their engine."""

from __future__ import annotations

import select
import signal
from pathlib import Path

from treadle_python.supervisor_handle import SupervisorHandle, send


def kill_supervisor(folder: Path, *, wait: bool = True) -> None:
    """Kill the supervisor of the attempt in this folder, and with it the program, if it is alive.

    With `wait`, return when it has ended.
    """
    if (supervisor := SupervisorHandle.of(folder)) is None:
        return
    with supervisor.pidfd() as pidfd:
        if pidfd is not None:
            send(pidfd, signal.SIGKILL)
            if wait:
                select.select([pidfd], [], [])
