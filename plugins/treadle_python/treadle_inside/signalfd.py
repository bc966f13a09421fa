"""Signals that are read from a file descriptor (signalfd(2)) instead of interrupting the process."""

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
_RECORD_SIZE = 128
"""Bytes of struct signalfd_siginfo; the first four are the signal's number."""
_MAX_RECORDS = 16
"""Records in one read. Signals of the same number that are not yet read share one record."""
_WORD_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)
_SignalSet = ctypes.c_ulong * (1024 // _WORD_BITS)  # sigset_t


class SignalFd:
    """A signalfd of this process; it lives as long as the process.

    The signals are blocked and not handled, so a forked process has no handlers to remove.
    """

    def __init__(self, handled: Iterable[int], ignored: Iterable[int]) -> None:
        """Block all given signals. The handled ones can be read; the ignored ones stay pending."""
        self._empty_set = _SignalSet()
        self.fd: int = _LIBC.signalfd(-1, _signal_set(handled), os.O_NONBLOCK | os.O_CLOEXEC)
        """Readable while there is a signal to read."""
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _pthread_sigmask(_SETMASK, _signal_set({*handled, *ignored}), None)

    def read(self) -> list[int]:
        """Return the signals that arrived since the last call, if any."""
        try:
            records = os.read(self.fd, _RECORD_SIZE * _MAX_RECORDS)
        except BlockingIOError:
            return []
        starts = range(0, len(records), _RECORD_SIZE)
        return [int.from_bytes(records[start : start + 4], sys.byteorder) for start in starts]

    def unblock(self) -> None:
        """Unblock all signals in a forked process; signal.pthread_sigmask() takes 20 times as long."""
        _pthread_sigmask(_SETMASK, self._empty_set, None)


def _signal_set(numbers: Iterable[int]) -> ctypes.Array[ctypes.c_ulong]:
    signal_set = _SignalSet()
    for number in numbers:
        signal_set[(number - 1) // _WORD_BITS] |= 1 << ((number - 1) % _WORD_BITS)
    return signal_set
