"""A child of a supervisor: forked in advance, it becomes the program when it has its request."""

from __future__ import annotations

import ctypes
import os

from .result_file import take

_AF_UNIX, _SOCK_STREAM, _SOCK_CLOEXEC, _SHUT_WR = 1, 1, 0o2000000, 1
_MAX_REPORT = 64
_LIBC = ctypes.CDLL(None, use_errno=True)
# The module `socket` would cost every spawned job some milliseconds.
_socketpair, _shutdown = _LIBC.socketpair, _LIBC.shutdown
_Pair = ctypes.c_int * 2


def channel() -> tuple[int, int]:
    """Return the two ends of a new channel: the program's, and the supervisor's.

    The request goes one way, up to an end; the report of the result comes back (result_file.py). Raises
    OSError.
    """
    ends = _Pair()
    if _socketpair(_AF_UNIX, _SOCK_STREAM | _SOCK_CLOEXEC, 0, ends) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ends[0], ends[1]


class Child:
    """A forked process that waits for its request and then becomes the program."""

    def __init__(self, pid: int, channel: int, stdout: int, stderr: int) -> None:
        """Own the supervisor's end of the channel, and the read ends of its output."""
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self._channel: int | None = channel
        self._report = b""

    def send(self, request: memoryview) -> bool:
        """Send the request; if the process has ended meanwhile, close this child and return False."""
        assert self._channel is not None
        try:
            while request:
                request = request[os.write(self._channel, request) :]
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            return False
        _shutdown(self._channel, _SHUT_WR)
        return True

    def collect(self, folder: str) -> tuple[str, int] | None:
        """Name the result that the program has reported; return its word and its size, None if there is none.

        Called when no process of the program is alive. Raises OSError; then it may be called again.
        """
        if self._channel is not None:
            self._report = self._read_report(self._channel)
            os.close(self._channel)
            self._channel = None
        return take(folder, self._report)

    def _read_report(self, channel: int) -> bytes:
        """Return the report without waiting: a program may have passed its end to another process."""
        os.set_blocking(channel, False)
        try:
            return os.read(channel, _MAX_REPORT)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the channel and all pipes; a process that has no request ends then."""
        for fd in (self._channel, self.stdout, self.stderr):
            if fd is not None:
                os.close(fd)
