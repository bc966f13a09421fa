"""The dispatcher: claims owed jobs in order, as many at a time as there are slots, and runs them.

It has three parts. `noticing` finds the jobs that are owed and adds them to the backlog. The dispatcher takes
them from there when a slot is free, claims each in the spool and begins its run. `cancelling` carries out the
requests in cancel/. A job's slot is free as soon as none of its processes is alive, or its run has ended in
any other way; the publication of its outcome goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from treadle.dispatch.backlog import Backlog
from treadle.dispatch.cancelling import Cancelling
from treadle.dispatch.job_run import JobRun
from treadle.dispatch.noticing import Noticing
from treadle.dispatch.records import first_attempt
from treadle.dispatch.recovery import Recovered, Recovery
from treadle.dispatch.toolbox import Toolbox
from treadle.dispatch.unreadable import end_unreadable
from treadle.interface.job import Job
from treadle.interface.runtime import Unavailable
from treadle.interface.service import Service
from treadle.support.lifetime import Lifetime
from treadle.support.retrying import retry_until_done
from treadle.watch.arrivals import Arrivals
from treadle_spool import Accepted, State

log = logging.getLogger(__name__)

_RETRY_DELAY = 1.0
"""Seconds until a claim that the disk refused is tried again."""
_START_TIMEOUT = 1.0
"""Seconds in which attempts that are being started get to be started, when the engine stops."""


class Dispatcher(Lifetime):
    """Carries jobs from queue/ to done/, from `async with` to its end; used in the event loop.

    There is one for a spool at a time: its tools hold the owner. When it is left, running jobs go on.
    """

    def __init__(
        self, services: Mapping[str, Service], tools: Toolbox, read_owed: Callable[[str], Accepted]
    ) -> None:
        """Read the descriptors of owed jobs by read_owed, as Admission.read_owed does."""
        self.backlog = Backlog(services)
        self.runs: dict[str, JobRun] = {}
        """The jobs that are claimed and not yet in done/."""
        self._services = services
        self._tools = tools
        self._slots = tools.settings.jobs
        self._tasks: dict[asyncio.Task[None], str] = {}
        """What goes on, by the name of its job."""
        self._held = False
        self._idle = asyncio.Event()
        self.noticing = Noticing(tools.owner, read_owed, self._add, self._fill_slots, self._is_known)
        self._cancelling = Cancelling(self.backlog, self.runs, tools, self._spawn)
        self._in_slots: set[JobRun] = set()
        """The runs that have a slot; each gives its own back, once."""

    @property
    def owed(self) -> int:
        """How many jobs wait or run."""
        return len(self.backlog) + len(self.runs)

    def running_by_service(self) -> Counter[str]:
        """Return how many jobs of each service run."""
        return Counter(run.job.service for run in self.runs.values())

    def problems(self) -> list[str]:
        """Return what must not be: runs without a task, tasks without a run, slots that nobody has."""
        tasks = set(self._tasks.values())
        problems = [f"job {name} runs, and nothing follows it" for name in self.runs if name not in tasks]
        taken = self._tools.settings.jobs - self._slots
        if taken != len(self._in_slots) or not self._in_slots <= set(self.runs.values()):
            problems.append(f"{taken} slots are taken, by {len(self._in_slots)} jobs")
        return problems

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in queue/ and cancel/."""
        self._cancelling.attach(arrivals)
        self.noticing.attach(arrivals)

    def take_up(self, recovery: Recovery) -> None:
        """Take up what an earlier engine has left in run/; entered before this is."""
        for found in recovery.found:
            self._take_up(found, recovery)

    def look_again(self, recovery: Recovery) -> None:
        """Go on with jobs whose service was not served and is now: with those in run/, then in queue/."""
        if recovery.left and not self._held:
            self._spawn("of an earlier engine", self._recover_left(recovery))
        self._fill_slots()

    def hold(self) -> None:
        """Start no more jobs; those that run go on."""
        self._held = True
        if not self.runs:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no job runs; called after `hold`."""
        await self._idle.wait()

    def cancel_all(self) -> None:
        """Have every running job end as CANCELLED."""
        for run in self.runs.values():
            run.cancel()

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave_runs)
            await stack.enter_async_context(self.noticing)
            stack.callback(self.hold)
            yield

    async def _leave_runs(self) -> None:
        """Leave running jobs to the next engine, those that are being started after they were started.

        A started attempt is adopted without doubt; one that was interrupted in its start may be lost.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT):
                await asyncio.gather(*(run.started() for run in self.runs.values()))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add(self, job: Job) -> None:
        if job.id in self.runs or job.id in self.backlog:
            return
        self.backlog.add(job)
        self._tools.observers.tell("job_changed", job=job, before=State.UNKNOWN, after=State.PENDING)
        self._cancelling.noticed(job.id)

    def _is_known(self, name: str) -> bool:
        return name in self.runs or name in self.backlog

    def _fill_slots(self) -> None:
        while self._slots > 0 and not self._held and (job := self.backlog.take()):
            if not self._claim(job):
                return

    def _claim(self, job: Job) -> bool:
        """Claim a job and begin its run; False if the disk refused, and the claim is tried again later."""
        service = self._services[job.service]
        live = first_attempt(service, self._tools)
        try:
            folder = self._tools.owner.claim(job.id, live)
        except OSError as error:
            log.error("job %s can't be claimed: %s; trying again", job.id, error)
            self.backlog.ended(job.service)
            self.backlog.add(job)
            asyncio.get_running_loop().call_later(_RETRY_DELAY, self._fill_slots)
            return False
        if folder is None:
            self.backlog.ended(job.service)
            return True
        self._tools.observers.tell("job_changed", job=job, before=State.PENDING, after=State.RUNNING)
        self._begin(JobRun(job, service, live, self._tools, fresh=True))
        return True

    def _begin(self, run: JobRun) -> None:
        self._slots -= 1
        self._in_slots.add(run)
        self.runs[run.job.id] = run
        self._spawn(run.job.id, self._run(run))

    async def _recover_left(self, recovery: Recovery) -> None:
        for found in await asyncio.to_thread(recovery.look_again):
            if not self._held:  # else it is left to the next engine
                self._take_up(found, recovery)

    def _take_up(self, found: Recovered, recovery: Recovery) -> None:
        """Continue an attempt that an earlier engine started, or end a job that can't be read any more."""
        job = found.job
        if found.problem:
            self._spawn(job.id, end_unreadable(found, self._services.values(), self._tools))
        elif (service := self._services.get(job.service)) is None:
            recovery.left.add(job.id)  # since it was looked at
        else:
            self.backlog.remove(job.id)
            self.backlog.started(job.service)
            self._begin(JobRun(job, service, found.live, self._tools, put_away=found.put_away))
            self._cancelling.look_for(job.id)

    async def _run(self, run: JobRun) -> None:
        try:
            await run.run(lambda: self._free_slot(run))
        except Unavailable as lack:
            await self._put_back(run, str(lack))
        finally:
            self.runs.pop(run.job.id, None)
            self._free_slot(run)
            if self._held and not self.runs:
                self._idle.set()

    async def _put_back(self, run: JobRun, lack: str) -> None:
        """Undo the claim of a job that this host can't start now: it waits, and its service is broken."""
        job = run.job
        log.warning("job %s waits: %s", job.id, lack)
        self._tools.unavailable(run.service, lack)
        await retry_until_done(
            lambda: asyncio.to_thread(self._tools.owner.undo_claim, job.id),
            f"the claim of job {job.id} can't be undone",
        )
        self._tools.observers.tell("job_changed", job=job, before=State.RUNNING, after=State.PENDING)
        self.runs.pop(job.id, None)
        self.backlog.add(job)
        self._cancelling.look_for(job.id)

    def _free_slot(self, run: JobRun) -> None:
        """Give the slot of a run to the next job, unless it has been given already."""
        if run not in self._in_slots:
            return
        self._in_slots.remove(run)
        self._slots += 1
        self.backlog.ended(run.job.service)
        try:
            self._fill_slots()
        except Exception:  # what fails with the next job must not hold up this one
            log.exception("the next job can't be started; trying again")
            asyncio.get_running_loop().call_later(_RETRY_DELAY, self._fill_slots)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = name
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("job %s has no outcome; it is taken up at the next start", name, exc_info=error)
