"""Signals that are read from a file, as signalfd(2) has it, and interrupt nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterable

_LIBC = ctypes.CDLL(None, use_errno=True)
_pthread_sigmask = _LIBC.pthread_sigmask
_SETMASK = int(signal.SIG_SETMASK)
_RECORD = 128
"""Bytes of struct signalfd_siginfo; the first four are the signal's number."""
_MOST = 16
"""Records that are read at once; a signal that comes again before it is read is one."""
_WORD = 8 * ctypes.sizeof(ctypes.c_ulong)
_Set = ctypes.c_ulong * (1024 // _WORD)  # sigset_t


class SignalFile:
    """Blocks signals in this process, and reads those that it is to hear."""

    def __init__(self, heard: Iterable[int], ignored: Iterable[int]) -> None:
        """Block all of them; those ignored are left lying."""
        self._none = _Set()
        self.fd: int = _LIBC.signalfd(-1, _set_of(heard), os.O_NONBLOCK | os.O_CLOEXEC)
        """Readable while there is a signal to read."""
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _pthread_sigmask(_SETMASK, _set_of({*heard, *ignored}), None)

    def read(self) -> list[int]:
        """Return the signals that have come since; none is no error."""
        try:
            records = os.read(self.fd, _RECORD * _MOST)
        except BlockingIOError:
            return []
        return [int.from_bytes(records[at : at + 4], sys.byteorder) for at in range(0, len(records), _RECORD)]

    def unblock(self) -> None:
        """Block nothing any more, in a forked process; signal.pthread_sigmask() takes 20 times as long."""
        _pthread_sigmask(_SETMASK, self._none, None)


def _set_of(numbers: Iterable[int]) -> ctypes.Array[ctypes.c_ulong]:
    found = _Set()
    for number in numbers:
        found[(number - 1) // _WORD] |= 1 << ((number - 1) % _WORD)
    return found
