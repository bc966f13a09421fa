"""The dispatcher: notices jobs, claims them in order, and lets them be cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from treadle.dispatch.backlog import Backlog
from treadle.dispatch.job_run import JobRun, Toolbox, first_attempt
from treadle.interface.job import Job
from treadle.interface.service import Service
from treadle.support.retrying import retry_until_done
from treadle.watch.arrivals import LINKS, Arrivals
from treadle_spool import InvalidDescriptor, LiveAttempt, State, Status, UnsafeName, check_name, now

log = logging.getLogger(__name__)

_SMALL = 256 * 1024
"""Bytes of a descriptor that are read at once; a larger one is read in a thread."""
_PAUSE = 1.0
"""Seconds before a claim that the disk refused is tried again."""


class Dispatcher:
    """Carries jobs from queue/ to done/, as many at a time as the settings say, from `async with` to its end.

    Only one may work on a spool: it needs the engine's lock. When it is left, running jobs go on.
    """

    def __init__(self, services: Mapping[str, Service], tools: Toolbox) -> None:
        self.backlog = Backlog(services)
        self.runs: dict[str, JobRun] = {}
        """The jobs that are claimed and not yet in done/."""
        self._services = services
        self._tools = tools
        self._spool = tools.spool
        self._slots = tools.settings.jobs
        self._noticed: asyncio.Queue[str | None] = asyncio.Queue()
        self._expected: set[str] = set()
        """Jobs that are about to be accepted in this process."""
        self._cancels: set[str] = set()
        """Cancel requests for jobs that have not been noticed yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._noticing: asyncio.Task[None] | None = None
        self._held = False
        self._listed = False
        self._idle = asyncio.Event()
        self.missed = 0
        """How many jobs a rescan has found that no event had told of."""

    @property
    def owed(self) -> int:
        """How many jobs wait or run."""
        return len(self.backlog) + len(self.runs)

    def running_by_service(self) -> Counter[str]:
        """Return how many jobs of each service run."""
        return Counter(run.job.service for run in self.runs.values())

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in queue/ and cancel/."""
        arrivals.watch(self._spool.cancel, LINKS, self._look_at_cancel)
        arrivals.watch(self._spool.queue, LINKS, self._look_at_queue, self._is_known)

    def expect(self, name: str) -> None:
        """Leave a job alone that this process is about to accept: its file appears before it is durable."""
        self._expected.add(name)

    def expect_no_more(self, name: str) -> None:
        """Look at its file as at any other, should there be one."""
        self._expected.discard(name)
        self._noticed.put_nowait(name)

    def hear(self, job: Job) -> None:
        """Take a job that this process has accepted; its file need not be read again."""
        self._expected.discard(job.id)
        self._add(job)
        self._fill_slots()

    def adopt(self, job: Job, live: LiveAttempt) -> None:
        """Go on with an attempt that an earlier engine started."""
        self.backlog.started(job.service)
        self._begin(JobRun(job, self._services[job.service], live, self._tools))

    def hold(self) -> None:
        """Start no more jobs; those that run go on."""
        self._held = True
        if not self.runs:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing runs any more; to be called once no more jobs are started."""
        await self._idle.wait()

    def cancel_all(self) -> None:
        """Have every running job end as CANCELLED."""
        for run in self.runs.values():
            run.cancel()

    async def __aenter__(self) -> Self:
        self._noticing = asyncio.create_task(self._notice())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold()
        assert self._noticing is not None
        self._noticing.cancel()
        await self._let_starts_end()
        tasks = [self._noticing, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _let_starts_end(self) -> None:
        """Wait a little for what is about to start: an attempt is easier to adopt than to doubt."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.gather(*(run.started() for run in self.runs.values()))

    # ------------------------------------------------------------------ noticing

    def _look_at_queue(self, entry: str | None) -> None:
        self._noticed.put_nowait(None if entry is None else entry.removesuffix(".json"))

    def _is_known(self, entry: str) -> bool:
        return self._known(entry.removesuffix(".json"))

    async def _notice(self) -> None:
        while True:
            name = await self._noticed.get()
            try:
                if name is None:
                    found = await asyncio.to_thread(self._read_unknown)
                else:
                    found = await self._read_one(name)
            except OSError as error:
                log.error("the queue can't be read: %s; trying again", error)
                asyncio.get_running_loop().call_later(_PAUSE, self._noticed.put_nowait, name)
                continue
            for job in found:
                self._add(job)
            if name is None:
                self._count_missed(len(found))
            self._fill_slots()

    def _count_missed(self, found: int) -> None:
        """Count what a listing has found, except for the first one: nobody could have told of that."""
        if self._listed:
            self.missed += found
        self._listed = True

    def _add(self, job: Job) -> None:
        if job.id in self.runs or job.id in self.backlog:
            return
        self.backlog.add(job)
        self._tools.observers.tell("job_changed", job=job, before=State.UNKNOWN, after=State.PENDING)
        if job.id in self._cancels:
            self._cancels.discard(job.id)
            self._cancel(job.id)

    def _known(self, name: str) -> bool:
        return name in self.runs or name in self.backlog or name in self._expected

    def _read_unknown(self) -> list[Job]:
        jobs = (
            self._read(name) for name in list(self._spool.names(self._spool.queue)) if not self._known(name)
        )
        return [job for job in jobs if job is not None]

    async def _read_one(self, name: str) -> list[Job]:
        if self._known(name):
            return []
        try:
            small = self._spool.queued(name).stat().st_size <= _SMALL
        except FileNotFoundError:
            return []
        job = self._read(name) if small else await asyncio.to_thread(self._read, name)
        return [] if job is None else [job]

    def _read(self, name: str) -> Job | None:
        """Read a job that is owed; one that is damaged is kept aside, with the reason."""
        try:
            return Job.of(check_name(name), self._spool.read_queued(name))
        except FileNotFoundError:
            return None
        except (InvalidDescriptor, UnsafeName) as error:
            log.error("%s is damaged: %s; it is kept in bad/", self._spool.queued(name), error)
            self._spool.refuse_queued(name, error)
            return None

    # ------------------------------------------------------------------ claiming

    def _fill_slots(self) -> None:
        while self._slots > 0 and not self._held and (job := self.backlog.take()):
            if not self._claim(job):
                return

    def _claim(self, job: Job) -> bool:
        """Claim a job and start it; False if the disk refused, and it is tried again in a while."""
        live = first_attempt(self._services[job.service], self._tools)
        try:
            folder = self._spool.claim(job.id, live)
        except OSError as error:
            log.error("job %s can't be claimed: %s; trying again", job.id, error)
            self.backlog.ended(job.service)
            self.backlog.add(job)
            asyncio.get_running_loop().call_later(_PAUSE, self._fill_slots)
            return False
        if folder is None:
            self.backlog.ended(job.service)
            return True
        self._tools.observers.tell("job_changed", job=job, before=State.PENDING, after=State.RUNNING)
        self._begin(JobRun(job, self._services[job.service], live, self._tools))
        return True

    def _begin(self, run: JobRun) -> None:
        self._slots -= 1
        self.runs[run.job.id] = run
        self._spawn(self._carry(run))

    async def _carry(self, run: JobRun) -> None:
        try:
            await run.run(lambda: self._free_slot(run.job.service))
        finally:
            self.runs.pop(run.job.id, None)
            if self._held and not self.runs:
                self._idle.set()

    def _free_slot(self, service: str) -> None:
        self._slots += 1
        self.backlog.ended(service)
        self._fill_slots()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a job's run failed; it is taken up at the next start", exc_info=error)

    # ------------------------------------------------------------------ cancelling

    def _look_at_cancel(self, name: str | None) -> None:
        try:
            names = [name] if name is not None else [entry.name for entry in self._spool.cancel.iterdir()]
            for each in names:
                self._cancel(each)
        except OSError as error:
            log.error("cancel/ can't be read: %s; trying again", error)
            asyncio.get_running_loop().call_later(_PAUSE, self._look_at_cancel, name)

    def _cancel(self, name: str) -> None:
        if run := self.runs.get(name):
            run.cancel()
        elif job := self.backlog.remove(name):
            self._spawn(self._end_waiting(job))
        elif self._spool.queued(name).exists():
            self._cancels.add(name)
        else:
            (self._spool.cancel / name).unlink(missing_ok=True)

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

        trouble = f"job {job.id} is cancelled, but that can't be written down"
        claimed = await retry_until_done(lambda: asyncio.to_thread(self._spool.claim, job.id, None), trouble)
        if claimed is not None:
            await retry_until_done(lambda: self._tools.finish((status, None)), trouble)
            self._tools.observers.tell("job_changed", job=job, before=State.PENDING, after=State.CANCELLED)
