"""Waiting for a program: its output is copied, signals are passed on, and whatever ends is reaped."""

from __future__ import annotations

import os
import select
import signal

from . import containment

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from .durable_ends import DurableEnds
    from .log_writer import LogWriter
    from .signalfd import SignalFd
    from .usage import Usage


def wait_for_child(
    pid: int, kind: str, signals: SignalFd, logs: list[LogWriter], ends: DurableEnds, *, usage: Usage
) -> int:
    """Copy output and handle signals until the child has ended; return its wait status.

    What ends is counted in usage. Meanwhile, earlier ends that no engine has taken are brought to the disk.
    """
    poll = select.poll()
    poll.register(signals.fd, select.POLLIN)
    log_of = {log.pipe: log for log in logs}
    for pipe in log_of:
        poll.register(pipe, select.POLLIN)
    while True:
        ends.look()
        for fd, _ in poll.poll(ends.timeout()):
            if fd == signals.fd:
                _handle(signals.read(), kind)
                status = _reap(pid, usage)
                if status is not None:
                    return status
            else:
                log_of[fd].copy()
                if not log_of[fd].open:
                    poll.unregister(fd)


def _handle(numbers: list[int], kind: str) -> None:
    if signal.SIGUSR1 in numbers:
        containment.signal_all(kind, signal.SIGKILL)
    elif signal.SIGTERM in numbers:
        containment.signal_all(kind, signal.SIGTERM)


def _reap(child: int, usage: Usage) -> int | None:
    """Reap all processes that have ended, orphans too; return the wait status of the child if it has."""
    child_status = None
    try:
        while True:
            pid, status = usage.wait(os.WNOHANG)
            if pid == 0:
                return child_status
            if pid == child:
                child_status = status
    except ChildProcessError:
        return child_status
