"""Counting an attempt that brings the host down: its record is made durable once it has lasted some seconds.

A claim syncs nothing, so that a job of a few milliseconds costs no fsync. After a power cut such a claim is
gone, and the job is claimed again as if for the first time. A job that takes the host down each time would do
so for ever. So, off the hot path:

1. After `sync_after` seconds from the attempt's start a timer wakes this module. A shorter attempt costs one
   timer, set and cancelled.
2. It waits until the runtime has started the attempt. By then the runtime has written what identifies it. A
   durable record without that would be started again under the same number, for ever as well.
3. In a thread, Owner.sync_attempt brings the record, what identifies the attempt and their names to the disk.
   A disk that refuses is tried again, for as long as the attempt lasts.

After a power cut the next engine finds the attempt in run/, its runtime says that it is lost, and the number
of attempts counts. Nothing here is awaited by the run: its end cancels the timer or the task, and what a
thread does meanwhile harms nobody.

Dropped: to sync each attempt before its start, which costs an fsync for each job; and to sync while the
runtime starts (an image may be pulled for minutes).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from treadle.dispatch.toolbox import Toolbox
from treadle.interface.attempt import Attempt
from treadle.support.retrying import retry_until_done
from treadle_spool import uptime

log = logging.getLogger(__name__)


class AttemptSync:
    """Makes one attempt's record durable if it lasts, from `with` to its end; used in the event loop.

    It never raises into the block, and leaving it never waits.
    """

    def __init__(self, tools: Toolbox, attempt: Attempt, begun: float, started: asyncio.Event) -> None:
        """Wait `sync_after` seconds from the attempt's beginning, by uptime(), and then for `started`."""
        self._owner = tools.owner
        self._attempt = attempt
        self._started = started
        self._due = begun + tools.sync_after
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        left = max(0.0, self._due - uptime())
        self._timer = asyncio.get_running_loop().call_later(left, self._begin)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._sync())

    async def _sync(self) -> None:
        job = self._attempt.job.id
        await self._started.wait()
        try:
            await retry_until_done(
                partial(asyncio.to_thread, self._owner.sync_attempt, job),
                f"job {job} runs, but its attempt can't be made durable",
            )
        except Exception:
            log.exception("job %s runs, but its attempt is not counted after a power cut", job)
