"""Completions: waiting for a job's end without polling."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress

from treadle.interface.job import Job
from treadle.watch.arrivals import UNLINKS, Arrivals
from treadle_spool import Spool, State, Status, UnknownJob


class Completions:
    """Wakes those who wait for a job's end: when the job is not owed any more, so its outcome is durable.

    Used in the event loop, in the engine's process and in others. The engine calls `hear`; elsewhere
    `attach` has the watcher tell of files that leave queue/.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what leaves queue/, where the engine is another process."""
        arrivals.watch(self._spool.queue, UNLINKS, self._look)

    async def status(self, name: str, wait: float) -> Status:
        """Return the job's status once it has ended, or as it is after `wait` seconds; raise UnknownJob."""
        if wait <= 0:
            return self._spool.look_up(name)
        woken = asyncio.get_running_loop().create_future()
        self._waiting[name].add(woken)  # before the look-up, so that an end between the two is not missed
        try:
            status = self._spool.look_up(name)
            if status.status.ended:
                return status
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await woken
            return self._spool.look_up(name)
        finally:
            self._waiting[name].discard(woken)
            if not self._waiting[name]:
                del self._waiting[name]

    def hear(self, job: Job, before: State, after: State) -> None:
        """Take a job's change of state from the engine of this process."""
        if after.ended:
            self._wake(job.id)

    def wake_all(self) -> None:
        """Have all waiting calls return now: the process is about to stop."""
        for waiting in list(self._waiting):
            self._wake(waiting)

    def _look(self, name: str | None) -> None:
        if name is not None:
            self._wake(name.removesuffix(".json"))
            return
        for waiting in list(self._waiting):
            with suppress(UnknownJob, OSError):
                if self._spool.look_up(waiting).status.ended:
                    self._wake(waiting)

    def _wake(self, name: str) -> None:
        for woken in self._waiting.get(name, ()):
            if not woken.done():
                woken.set_result(None)
