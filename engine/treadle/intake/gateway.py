"""The gateway: where jobs come in over HTTP, in the engine's process or in an API process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Protocol

from treadle.extend.loader import Plugins
from treadle.intake.admission import Admission
from treadle.intake.catalogue import Change
from treadle.intake.check_lanes import CheckLanes
from treadle.intake.composing import Source
from treadle.intake.project_reader import ProjectReader
from treadle.intake.reloader import Reloader, log_change
from treadle.intake.validation_pool import ValidationPool
from treadle.interface.job import Job
from treadle.interface.settings import Settings
from treadle.support.batching import BatchWorkers
from treadle.support.lifetime import Lifetime
from treadle.watch.arrivals import Arrivals
from treadle.watch.changes import Changes
from treadle.watch.completions import Completions
from treadle_spool import Descriptor, Spool, Status, new_id
from treadle_spool.draft import Draft

_REMEMBERED = 30.0
"""Seconds for which the health tells of a job that could not be written, if no other one comes."""


class AcceptListener(Protocol):
    """Hears of each accept in this process, in the event loop: `expect`, then one of the two others."""

    def expect(self, name: str) -> None:
        """Take note that a job is about to be accepted: its file appears before it is durable."""

    def expect_no_more(self, name: str) -> None:
        """Take note that the job was refused, or that its accept was interrupted."""

    def accepted(self, job: Job) -> None:
        """Take note that the job has been accepted, durably."""


class Gateway(Lifetime):
    """Accepts jobs of one spool and answers for them, from `async with` to its end.

    Any number of processes may have one on the same spool; one of them, or none, is its engine. The
    gateway enters its own parts, and closes the plugins when it is left. It does not enter `arrivals`: the
    Engine or the ApiProcess that made the gateway does that, after it has attached to that watcher. Raises
    ServiceError, SettingsError and NotASpool when it is made.
    """

    def __init__(self, settings: Settings, owed: Callable[[Spool], int]) -> None:
        """Use owed to count the jobs that wait or run: the queue's limit is checked against it."""
        self.settings = settings
        self.plugins = Plugins(settings)
        pool = ValidationPool(settings.validation_seconds)
        self.reloader = Reloader(ProjectReader(settings, self.plugins, pool), self.plugins)
        self.reloader.listen(log_change)
        self.services = self.reloader.catalogue
        log_change(Change(broken=self.services.broken))
        self.spool = Spool.open(settings.spool)
        self.arrivals = Arrivals(settings.rescan)
        self.changes = Changes()
        self.completions = Completions(self.spool)
        self.admission = Admission(
            self.spool, self.services, pool, self.plugins, settings, count_owed=lambda: owed(self.spool)
        )
        self._checking = CheckLanes()
        self._failure: tuple[float, OSError] | None = None
        """When a job could last not be written, and why; None once another one could."""
        self._listeners: list[AcceptListener] = []
        self._accepting = BatchWorkers("accept", self.spool.accept_all)

    def listen(self, listener: AcceptListener) -> None:
        """Have a listener hear of each accept; called before the gateway is entered."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._checking)
            await stack.enter_async_context(self._accepting)
            await stack.enter_async_context(self.changes)
            stack.push_async_callback(self.plugins.close)
            stack.callback(self.admission.close)
            await stack.enter_async_context(self.reloader)
            yield

    async def submit(self, descriptor: Descriptor, name: str | None = None) -> Status:
        """Accept a job durably and return its status.

        Raises InvalidDescriptor, ServiceBroken, NameTaken, QueueFull, DiskFull, ShuttingDown or OSError: then
        the job is not accepted.
        """
        self.admission.check_room()
        if self.admission.is_quick(descriptor):
            self.admission.check(descriptor)
        else:
            await self._checking.run(descriptor.service, partial(self.admission.check, descriptor))
        return await (self._accept_new(descriptor) if name is None else self._accept(descriptor, name))

    async def submit_large(self, source: Source, service: str, size: int) -> Status:
        """Accept a job of so many bytes as `submit` does; it is decoded by another process.

        Raises TooLarge, too.
        """
        self.admission.check_room()
        draft = await self._checking.run(service, partial(self.admission.compose, source, size))
        try:
            return await self._accept_new(draft)
        finally:
            await asyncio.to_thread(draft.remove)

    async def _accept_new(self, job: Descriptor | Draft) -> Status:
        """Accept a job under a new name, and tell the listeners."""
        name = new_id()
        for listener in self._listeners:
            listener.expect(name)
        try:
            status = await self._accept(job, name)
        except BaseException:
            for listener in self._listeners:
                listener.expect_no_more(name)
            raise
        descriptor = job.job if isinstance(job, Draft) else job.accepted(status.created)
        for listener in self._listeners:
            listener.accepted(Job.of(name, descriptor))
        return status

    def problems(self) -> list[str]:
        """Return why jobs are not accepted or not noticed, for the health answer."""
        problems = self.admission.problems() + self.arrivals.problems()
        if self._failure is not None and time.monotonic() - self._failure[0] < _REMEMBERED:
            problems.append(f"the last job could not be written to the disk: {self._failure[1]}")
        return problems

    def notes(self) -> list[str]:
        """Return what somebody should mend, for the health answer: it stops nothing but itself."""
        return [each.why_jobs_wait for each in self.services.broken] + self.arrivals.notes()

    async def _accept(self, job: Descriptor | Draft, name: str) -> Status:
        """Write a job, and remember whether that was possible."""
        try:
            status = await self._accepting.do((job, name))
        except OSError as error:
            self._failure = (time.monotonic(), error)
            raise
        self._failure = None
        return status
