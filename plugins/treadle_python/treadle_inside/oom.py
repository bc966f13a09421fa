"""What the kernel's OOM killer takes first: a program, and not the engine or a supervisor.

A program gets _RAISE more than its supervisor has, which has what the engine has. The difference counts: in a
pod of Kubernetes, for instance, every process may begin with 1000. The child of a supervisor writes the value
as soon as it is forked: before any user code and, in most cases, before there is a request. The processes of
the program inherit it.
"""

from __future__ import annotations

import contextlib
import os

from . import privileges

_FILE = "/proc/self/oom_score_adj"
_RAISE = 500
_HIGHEST = 1000


def score_of_programs() -> bytes | None:
    """Return the value for this process's programs; None where this host has none."""
    try:
        with open(_FILE, "rb", buffering=0) as file:
            return b"%d" % min(max(int(file.read(16)), 0) + _RAISE, _HIGHEST)
    except OSError:
        return None


def take_score(value: bytes | None) -> None:
    """Give this process the value, where the host permits that.

    What /proc has of an undumpable process is root's. So an ordinary user's is dumpable for this moment: no
    program of its supervisor runs meanwhile.
    """
    if value is None:
        return
    with contextlib.suppress(OSError):
        try:
            _write(value)
        except PermissionError:
            with privileges.dumpable():
                _write(value)


def _write(value: bytes) -> None:
    fd = os.open(_FILE, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)
