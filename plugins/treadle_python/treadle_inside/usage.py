"""What the processes of an attempt have used, as wait4(2) tells of each that is reaped."""

from __future__ import annotations

import os


class Usage:
    """The sum over the processes of one attempt; a process includes those that it has waited for itself."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self.peak_kib = 0
        """The most memory that one process had resident, in KiB."""

    @property
    def cpu_ms(self) -> int:
        """The CPU time, in user and in system mode, in milliseconds."""
        return round(1000 * self._seconds)

    def wait(self, options: int) -> tuple[int, int]:
        """Reap any child, as waitpid(2) does, and count it; raise ChildProcessError if there is none."""
        pid, status, used = os.wait4(-1, options)
        if pid:
            self._seconds += used.ru_utime + used.ru_stime
            self.peak_kib = max(self.peak_kib, used.ru_maxrss)
        return pid, status
