"""Waiting for a job's end by looking at its files again and again.

A look is two system calls, so this costs nothing. A watcher was used before: it may be refused (the limits of
inotify), it is blind on network file systems, and it takes longer to start than most jobs take to end.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable

from treadle.cli.output import BROKEN_PIPE
from treadle_spool import Spool, Status

_FIRST, _LONGEST = 0.005, 0.05
"""Seconds between two looks; the pauses grow from the first to the longest."""


class Pauses:
    """The pauses between looks, up to a limit in seconds; None: no limit."""

    def __init__(self, limit: float | None) -> None:
        self._end = float("inf") if limit is None else time.monotonic() + limit
        self._next = _FIRST

    def over(self) -> bool:
        """Return whether the limit has been reached."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Return the seconds up to the limit, infinity without one."""
        return max(0.0, self._end - time.monotonic())

    def take(self) -> None:
        """Pause, not beyond the limit."""
        time.sleep(min(self._next, self.left()))
        self._next = min(_LONGEST, self._next * 1.3)


def until_ended(
    spool: Spool, job: str, limit: float | None, look: Callable[[], None] = lambda: None
) -> Status:
    """Return the job when it has ended, or as it is after `limit` seconds; call look before each pause.

    Raises UnknownJob if the job is removed meanwhile.
    """
    pauses = Pauses(limit)
    queued, done = spool.queued(job), spool.done / job
    while not pauses.over():
        if not os.path.lexists(queued) or os.path.lexists(done):
            status = spool.look_up(job)
            if status.status.ended:
                return status
        look()
        pauses.take()
    return spool.look_up(job)


def end_without_reader() -> None:
    """End the process if standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(1, 0)  # errors are reported whatever is asked for
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        sys.exit(BROKEN_PIPE)
