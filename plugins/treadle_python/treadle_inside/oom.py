"""What the kernel's OOM killer takes first: a program, and not the engine or a supervisor.

A program gets _RAISE more than its supervisor has, which has what the engine has. The difference counts: in a
pod of Kubernetes, for instance, every process may begin with 1000.

A process inherits the score. So a supervisor raises its own for the moment in which it forks, by a file that
it opened at its start: what /proc has of an undumpable process can't be opened by its user any more. It may
always lower its score to what it began with.

Dropped: the child writes its own score. Each process in which something is opened in /proc gets entries
there, which cost as much as many of its other system calls together.
"""

from __future__ import annotations

import contextlib
import os

_FILE = "/proc/self/oom_score_adj"
_RAISE = 500
_HIGHEST = 1000


class OomScore:
    """The score of this process, a supervisor, and of what it forks. Made once, while it is dumpable."""

    def __init__(self) -> None:
        """Open the score; where the host has none, or forbids it, programs have the supervisor's."""
        self._fd = -1
        self._own = self._raised = b""
        with contextlib.suppress(OSError):
            self._fd = os.open(_FILE, os.O_RDWR | os.O_CLOEXEC)
            own = int(os.read(self._fd, 16))
            self._own, self._raised = b"%d" % own, b"%d" % min(max(own, 0) + _RAISE, _HIGHEST)

    def use_that_of_programs(self) -> None:
        """Raise the score: a process that is forked now inherits it."""
        self._write(self._raised)

    def use_own(self) -> None:
        """Have this process's own score again. Called in this process, and never in what it forked."""
        self._write(self._own)

    def _write(self, score: bytes) -> None:
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, score, 0)
