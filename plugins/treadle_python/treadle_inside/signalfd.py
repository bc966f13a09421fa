"""Signals that are read from a file descriptor (signalfd(2)) instead of interrupting the process.

The first process of a PID namespace takes SIGTERM and SIGUSR1 from outside only: the kernel says 0 for the
pid of a sender in a namespace above, and SI_USER can't be forged. But a signal that is pending is not queued
again, so a process that sends one all the time could hide the engine's behind its own. Therefore a limited
number is ignored; after that they are obeyed, and the program gets what it has sent.

Where there is no PID namespace (`subreaper`), every process of the same user is obeyed.
"""

from __future__ import annotations

import ctypes
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterable

_LIBC = ctypes.CDLL(None, use_errno=True)
_pthread_sigmask = _LIBC.pthread_sigmask
_SETMASK = int(signal.SIG_SETMASK)
_RECORD_SIZE = 128
"""Bytes of struct signalfd_siginfo; it begins with the signal's number, an errno, the code and the pid."""
_SI_USER = 0
"""The code of a signal that kill(2) or pidfd_send_signal(2) has sent."""
_MAX_IGNORED = 100
"""Signals from inside the namespace that are ignored."""
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
        self._from_outside_only = os.getpid() == 1
        self._ignored = 0
        self.fd: int = _LIBC.signalfd(-1, _signal_set(handled), os.O_NONBLOCK | os.O_CLOEXEC)
        """Readable while there is a signal to read."""
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _pthread_sigmask(_SETMASK, _signal_set({*handled, *ignored}), None)

    def read(self) -> list[int]:
        """Return the signals that arrived since the last call and are to be obeyed, if any."""
        try:
            data = os.read(self.fd, _RECORD_SIZE * _MAX_RECORDS)
        except BlockingIOError:
            return []
        fields = memoryview(data).cast("I")
        starts = range(0, len(fields), _RECORD_SIZE // fields.itemsize)
        records = [fields[at : at + 4].tolist() for at in starts]
        return [number for number, _, code, pid in records if self._is_obeyed(number, code, pid)]

    def _is_obeyed(self, number: int, code: int, pid: int) -> bool:
        if not self._from_outside_only or number == signal.SIGCHLD or (code == _SI_USER and pid == 0):
            return True
        self._ignored += 1
        return self._ignored > _MAX_IGNORED

    def start_anew(self) -> None:
        """Discard the signals that have arrived, and what earlier programs have sent."""
        self.read()
        self._ignored = 0

    def unblock(self) -> None:
        """Unblock all signals in a forked process; signal.pthread_sigmask() takes 20 times as long."""
        _pthread_sigmask(_SETMASK, self._empty_set, None)


def _signal_set(numbers: Iterable[int]) -> ctypes.Array[ctypes.c_ulong]:
    signal_set = _SignalSet()
    for number in numbers:
        signal_set[(number - 1) // _WORD_BITS] |= 1 << ((number - 1) % _WORD_BITS)
    return signal_set
