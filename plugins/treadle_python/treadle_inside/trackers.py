"""The end of a program's resource trackers: they remove what it has forgotten, such as shared memory.

They are processes: multiprocessing starts one, and loky (joblib) another one. Each does its work when its
pipe is closed, in a plain run after the end of the program. Here every process that is left is killed
then, so the program waits for it.
"""

from __future__ import annotations

import posix  # a program may have changed os
import sys
import time

_MODULES = (
    "multiprocessing.resource_tracker",
    "loky.backend.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
)
_PATIENCE, _PAUSE = 2.0, 0.005
"""Seconds for the wait, which has no end while a process that the program has forked has the same pipe."""


def wait_for_trackers(program: int) -> None:
    """Have the trackers do their work, if this is the process of the program and it has some.

    To be called when the program and its exit handlers have ended.
    """
    if posix.getpid() != program:
        return
    for name in _MODULES:
        tracker = getattr(sys.modules.get(name), "_resource_tracker", None)
        fd, pid = getattr(tracker, "_fd", None), getattr(tracker, "_pid", None)
        if fd is not None and pid is not None:
            tracker._fd = tracker._pid = None  # type: ignore[union-attr]  # it has just been seen
            posix.close(fd)
            _wait(pid)


def _wait(pid: int) -> None:
    until = time.monotonic() + _PATIENCE
    try:
        while not posix.waitpid(pid, posix.WNOHANG)[0] and time.monotonic() < until:
            time.sleep(_PAUSE)
    except OSError:  # the program has waited for it
        pass
