"""Cancelling: requests in cancel/ reach the jobs that they name, in each state of a job.

| the job | what a request does |
| --- | --- |
| runs | its run is cancelled: the runtime stops the attempt |
| waits | it is taken out of the backlog, claimed without an attempt, and finished as CANCELLED |
| is owed, but not noticed yet | the request is kept until it is noticed |
| has ended, or is unknown | the request is removed |
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from treadle.dispatch.backlog import Backlog
from treadle.dispatch.job_run import JobRun
from treadle.dispatch.toolbox import Toolbox
from treadle.interface.job import Job
from treadle.support.retrying import retry_until_done
from treadle.watch.arrivals import LINKS, Arrivals
from treadle_spool import State, Status, now
from treadle_spool.untrusted import is_misplaced

log = logging.getLogger(__name__)

_RETRY_DELAY = 1.0
"""Seconds until cancel/ is read again after an error."""


class Cancelling:
    """Carries out the requests in cancel/, as long as its dispatcher lives; used in the event loop."""

    def __init__(
        self,
        backlog: Backlog,
        runs: Mapping[str, JobRun],
        tools: Toolbox,
        spawn: Callable[[str, Coroutine[Any, Any, None]], None],
    ) -> None:
        self._backlog = backlog
        self._runs = runs
        self._tools = tools
        self._owner = tools.owner
        self._spool = tools.owner.spool
        self._spawn = spawn
        self._early: set[str] = set()
        """Requests for jobs that are owed, but have not been noticed yet."""

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in cancel/."""
        arrivals.watch(self._spool.cancel, LINKS, self._look)

    def noticed(self, name: str) -> None:
        """Carry out a request that came before its job was noticed."""
        if name in self._early:
            self._early.discard(name)
            self._cancel(name)

    def look_for(self, name: str) -> None:
        """Carry out a request for a job that was not known, or was between two states, when it came."""
        if os.path.lexists(self._spool.cancel / name):
            self._cancel(name)

    def _look(self, name: str | None) -> None:
        try:
            names = [name] if name is not None else [entry.name for entry in self._spool.cancel.iterdir()]
            for each in names:
                self._cancel(each)
        except OSError as error:
            log.error("cancel/ can't be read: %s; trying again", error)
            asyncio.get_running_loop().call_later(_RETRY_DELAY, self._look, name)

    def _cancel(self, name: str) -> None:
        if run := self._runs.get(name):
            run.cancel()
        elif job := self._backlog.remove(name):
            self._spawn(job.id, self._end_waiting(job))
        elif self._spool.queued(name).exists():
            self._early.add(name)
        else:
            try:
                (self._spool.cancel / name).unlink(missing_ok=True)
            except OSError as error:
                if not is_misplaced(error):
                    raise
                log.error("cancel/%s is no request, and can't be removed: %s", name, error)

    async def _end_waiting(self, job: Job) -> None:
        """End a job that has never been started."""
        status = Status(
            id=job.id,
            service=job.service,
            status=State.CANCELLED,
            created=job.created,
            ended=now(),
            labels=dict(job.labels),
        )
        what = f"job {job.id} is cancelled, but its outcome can't be published"
        claimed = await retry_until_done(lambda: asyncio.to_thread(self._owner.claim, job.id, None), what)
        if claimed is not None:
            await retry_until_done(lambda: self._tools.finish((status, None)), what)
            self._tools.observers.tell("job_changed", job=job, before=State.PENDING, after=State.CANCELLED)
