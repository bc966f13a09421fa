"""What accepts jobs and answers for them: all that an API process needs, without running them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from treadle.extend.loader import Plugins
from treadle.intake.admission import Admission
from treadle.intake.health import Health
from treadle.intake.projects import read_services
from treadle.interface.errors import ServiceError
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.support.batching import BatchWorkers
from treadle.support.hints import nearest
from treadle.watch.arrivals import Arrivals
from treadle.watch.changes import Changes
from treadle.watch.completions import Completions
from treadle_spool import Descriptor, Spool, Status, new_id, now

_FRESH = 1.0
"""Seconds for which a count of queue/ is good enough."""


class Gateway:
    """Takes jobs for one spool and tells of them, from `async with` to its end.

    Any number of processes may do that for a spool; one of them, or none, is its engine. Raises
    ServiceError, SettingsError and NotASpool when it is made.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plugins = Plugins(settings)
        self.services = read_services(settings.projects, settings.services, self.plugins.options)
        for service in self.services.values():
            _check(service, self.plugins)
        self.spool = Spool.open(settings.spool)
        self.arrivals = Arrivals(settings.rescan)
        self.changes = Changes()
        self.completions = Completions(self.spool)
        self.admission = Admission(self.spool, self.services, self.plugins, settings, self.owed)
        self._accepting = BatchWorkers("accept", self.spool.accept_all)
        self._stack = AsyncExitStack()
        self._counted = (float("-inf"), 0)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._enter(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _enter(self, stack: AsyncExitStack) -> None:
        """Enter whatever is to be left in reverse order."""
        await stack.enter_async_context(self._accepting)
        await stack.enter_async_context(self.changes)
        stack.push_async_callback(self.plugins.close)
        self.completions.attach(self.arrivals)
        await stack.enter_async_context(self.arrivals)

    async def submit(self, descriptor: Descriptor, name: str | None = None) -> Status:
        """Accept a job durably and return its status.

        Raises InvalidDescriptor, NameTaken, QueueFull, DiskFull, ShuttingDown or OSError: it is not accepted.
        """
        self.admission.check_room()
        if self.admission.is_quick(descriptor):
            self.admission.check(descriptor)
        else:
            await asyncio.to_thread(self.admission.check, descriptor)
        descriptor = msgspec.structs.replace(descriptor, created=descriptor.created or now())
        if name is not None:
            return await self._accepting.do((descriptor, name))
        name = new_id()
        self._expect(name)
        try:
            status = await self._accepting.do((descriptor, name))
        except BaseException:
            self._expect_no_more(name)
            raise
        self._accepted(name, descriptor)
        return status

    def _expect(self, name: str) -> None:
        """Take note that a job is about to be accepted here; by default the folder's notice is enough."""

    def _expect_no_more(self, name: str) -> None:
        """Take note that it was refused, or that nobody waits for it to be accepted any more."""

    def _accepted(self, name: str, descriptor: Descriptor) -> None:
        """Take note that it was accepted."""

    def owed(self) -> int:
        """Return how many jobs wait or run: as queue/ had it, at most a second ago."""
        moment, number = self._counted
        if time.monotonic() - moment > _FRESH:
            number = sum(1 for _ in self.spool.names(self.spool.queue))
            self._counted = (time.monotonic(), number)
        return number

    def health(self) -> Health:
        """Say how it is here; without an engine somewhere, what is accepted waits."""
        problems = self._watch_problems()
        if self.spool.lock().holder() is None:
            problems.append("no engine works on this spool: jobs are accepted, and wait for one")
        running = sum(1 for _ in self.spool.names(self.spool.run))
        return Health(
            ready=not problems,
            problems=tuple(problems),
            watcher_restarts=self.arrivals.restarts,
            queued=max(0, self.owed() - running),
            running=running,
        )

    def _watch_problems(self) -> list[str]:
        return [] if self.arrivals.healthy else ["the folder observer is dead; it is being started again"]


def _check(service: Service, plugins: Plugins) -> None:
    """Raise ServiceError unless the plugins can run the service."""
    candidates = plugins.candidates(service.runtime)
    for kind, name, found, known in (
        ("runtime", service.runtime, candidates, plugins.runtimes),
        ("output parser", service.parser, service.parser in plugins.parsers, plugins.parsers),
    ):
        if not found:
            raise ServiceError(
                f"{service.path}: there is no {kind} named {name!r}{nearest(name, known)}; "
                "`treadle plugins` lists what is installed"
            )
    for runtime in candidates:
        runtime.check(service)
