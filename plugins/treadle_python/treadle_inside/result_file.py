"""The file of what a program returned, as its process and its supervisor hand it over.

1. Before anything is covered, the program's process opens the draft in the attempt's folder.
2. It writes the result or the failure, and reports the word (protocol.RESULT_FILES) and the size to its
   supervisor, on the channel on which its request came.
3. When no process of the program is alive, the supervisor compares the size and gives the draft the name that
   the word stands for (`take`). Without a report the draft is removed.

The invariant: the program's process makes no name in the attempt's folder once it runs code of the service,
and needs no path to it. What it has not reported complete is no result.

Without a supervisor (program.main, on another host) the process gives the name itself.
"""

from __future__ import annotations

import contextlib
import os
import posix  # a program may have changed os
import stat

from .protocol import RESULT_FILES

_DRAFT = ".returned.json"
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_DIGITS = 18
_SPOILT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What a program does to its own result where nothing hides the folder from it (`subreaper`)."""


class ResultFile:
    """The draft of one program's result, open in the program's process until its end."""

    def __init__(self, folder: str, channel: int | None, dir_fd: int | None = None) -> None:
        """Open the draft in the attempt's folder, a path relative to dir_fd if that is given.

        channel is the descriptor for the report; None where there is no supervisor. An OSError is raised when
        a result is written, and not here: a program without a result needs no file.
        """
        self._folder = folder
        self._channel = channel
        self._pid = os.getpid()
        self._error: OSError | None = None
        self._opened: list[tuple[int, tuple[int, int]]] = []
        """The draft, and the channel if there is one, each with its identity: a program may close them."""
        try:
            draft = os.open(os.path.join(folder, _DRAFT), _FLAGS, 0o666, dir_fd=dir_fd)
            self._opened = [(fd, _identity(fd)) for fd in (draft, channel) if fd is not None]
        except OSError as error:
            self._error = error

    def write(self, word: str, content: bytes) -> None:
        """Write the result or the failure, by its word in RESULT_FILES, and report it complete.

        A process that the program has forked does nothing. Raises OSError if it can't be written; another
        one may be written then.
        """
        if posix.getpid() != self._pid:
            return
        if self._error is not None:
            raise self._error
        if any(_identity(fd) != expected for fd, expected in self._opened):
            raise OSError(None, "the program has closed what its result is written to")
        draft = self._opened[0][0]
        posix.ftruncate(draft, 0)
        written = 0
        while written < len(content):
            written += posix.pwrite(draft, memoryview(content)[written:], written)
        if self._channel is None:
            posix.rename(f"{self._folder}/{_DRAFT}", f"{self._folder}/{RESULT_FILES[word]}")
        else:
            posix.write(self._channel, b"%b %d" % (word.encode(), written))


def take(folder: str, report: bytes) -> tuple[str, int] | None:
    """Give the reported draft its name; return the word and the size, or None without a result.

    Called by the supervisor, when no process of the program is alive. It may be called again after an
    OSError.
    """
    draft = os.path.join(folder, _DRAFT)
    word, _, digits = report.decode("ascii", "replace").partition(" ")
    if word in RESULT_FILES and digits.isdecimal() and len(digits) <= _MAX_DIGITS:
        with contextlib.suppress(*_SPOILT):
            status = os.lstat(draft)
            if stat.S_ISREG(status.st_mode) and status.st_size == int(digits):
                os.rename(draft, os.path.join(folder, RESULT_FILES[word]))
                return word, status.st_size
    with contextlib.suppress(*_SPOILT):
        os.unlink(draft)
    return None


def _identity(fd: int) -> tuple[int, int]:
    """Return what tells the file of a descriptor from every other one; zeros if it is closed."""
    try:
        status = posix.fstat(fd)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino
