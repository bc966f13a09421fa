"""The logs of a program: what it prints, copied from its pipes to files up to a limit."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable

_READ_SIZE = 64 * 1024
_MAX_CHUNKS = 256
"""Chunks that are read of the rest; a pipe holds fewer."""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_log(folder: str, name: str) -> int:
    """Open a log for appending, and make it where there is none.

    Raises OSError for what is no regular file: a program may have put a fifo or a link in its place.
    """
    fd = os.open(os.path.join(folder, name), _APPEND, 0o640)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, f"{name} is not a file of its own")


class LogWriter:
    """Copies one pipe of the program's output to a log file; beyond the limit it reads and discards."""

    def __init__(self, pipe: int, open_log: Callable[[], int], limit: int) -> None:
        """Own the pipe; call open_log at the first byte, so that no empty file is made."""
        self.pipe = pipe
        self.open = True
        self.cut = False
        """Whether output beyond the limit was discarded."""
        self.unwritten: int | None = None
        """The errno for which output could not be written, and was discarded from there on."""
        self._open_log = open_log
        self._log: int | None = None
        self._remaining = limit

    def copy(self) -> None:
        """Copy one chunk; at the end of the pipe, set open to False."""
        chunk = os.read(self.pipe, _READ_SIZE)
        if not chunk:
            self.open = False
        elif self.unwritten is None:
            kept = chunk[: self._remaining]
            self._remaining -= len(kept)
            self.cut = self.cut or len(kept) < len(chunk)
            self._write(kept)

    def finish(self) -> None:
        """Copy the rest and close both ends. No process of the program is alive.

        One that is not the program's may have been given the pipe: it is not waited for.
        """
        os.set_blocking(self.pipe, False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MAX_CHUNKS):
                if not self.open:
                    break
                self.copy()
        os.close(self.pipe)
        if self._log is not None:
            try:
                os.close(self._log)
            except OSError as error:  # a network's file system may tell only here
                self.unwritten = self.unwritten or error.errno or 0

    def _write(self, kept: bytes) -> None:
        try:
            if self._log is None:
                self._log = self._open_log()
            while kept:
                kept = kept[os.write(self._log, kept) :]
        except OSError as error:  # a full disk must not stop the program; the exit reports it
            self.unwritten = error.errno or 0
