"""The two kinds of process on a spool, put together: the engine, and the API without an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from treadle.dispatch.dispatcher import Dispatcher
from treadle.dispatch.recovery import Recovery
from treadle.dispatch.toolbox import Finish, Toolbox
from treadle.extend.observers import Observers
from treadle.extend.selection import candidates, release
from treadle.intake.catalogue import Change
from treadle.intake.drop import Intake
from treadle.intake.gateway import Gateway
from treadle.intake.health import Health
from treadle.interface.runtime import Runtime
from treadle.interface.settings import Settings
from treadle.operate.housekeeping import Housekeeping
from treadle.operate.metrics import Metrics
from treadle.operate.service_list import ServiceListing
from treadle.support.batching import BatchWorkers
from treadle.support.lifetime import Lifetime
from treadle_spool import DropFolder, Owner, Spool
from treadle_spool.draft import LARGE

_COUNT_TTL = 1.0
"""Seconds for which a count of queue/ is cached."""


class Engine(Lifetime):
    """Runs the jobs of one spool and accepts new ones, from `async with` to its end.

    Raises SpoolInUse when it is entered while another engine has the spool. When it is left, running
    jobs go on; the next engine adopts them.
    """

    dispatcher: Dispatcher
    """The parts that claim and end jobs, and what counts them, are made when the engine has the lock."""
    intake: Intake
    metrics: Metrics
    recovery: Recovery

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gateway = gateway = Gateway(settings, lambda _: self.dispatcher.owed)
        self.spool = gateway.spool
        self.services = gateway.services
        self.plugins = gateway.plugins
        self.completions = gateway.completions
        self.submit = gateway.submit
        self.observers = Observers(self.plugins)
        self.observers.listen("job_changed", self.completions.hear)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            owner = stack.enter_context(self.spool.lock())
            finishing = await stack.enter_async_context(BatchWorkers("finish", owner.finish_all))
            self._assemble(owner, finishing.do)
            await stack.enter_async_context(self.observers)
            await stack.enter_async_context(self.gateway)
            await asyncio.to_thread(owner.sweep)
            self.recovery = await asyncio.to_thread(self._recover, owner)
            self.dispatcher.take_up(self.recovery)
            self.gateway.reloader.listen(self._services_changed)
            self.dispatcher.attach(self.gateway.arrivals)
            self.intake.attach(self.gateway.arrivals)
            await stack.enter_async_context(self.dispatcher)
            await stack.enter_async_context(self.intake)
            await stack.enter_async_context(self.gateway.arrivals)
            await stack.enter_async_context(self._housekeeping(owner))
            await stack.enter_async_context(ServiceListing(self.spool, self.gateway.reloader))
            self.observers.tell("engine_started", settings=self.settings)
            stack.callback(self.gateway.admission.close)  # before all that waits for its processes
            stack.callback(self.observers.tell, "engine_stopping")
            yield

    def health(self) -> Health:
        """Return the engine's health."""
        unserved = sorted(self.dispatcher.backlog.unserved - {each.name for each in self.services.broken})
        problems = self.gateway.problems()
        problems += (stuck := self.dispatcher.problems())
        problems += [f"jobs wait for service {name!r}, which is not served" for name in unserved]
        problems += self.intake.troubles.problems()
        return Health(
            ready=not problems,
            problems=tuple(problems),
            watcher_restarts=self.gateway.arrivals.restarts,
            queued=len(self.dispatcher.backlog),
            running=len(self.dispatcher.runs),
            stuck=len(stuck),
            notes=tuple(self.gateway.notes() + self.intake.troubles.notes()),
        )

    def _assemble(self, owner: Owner, finish: Finish) -> None:
        """Make the parts that need the owner of the spool."""
        gateway, settings = self.gateway, self.settings
        tools = Toolbox(
            owner, self.plugins, self.observers, gateway.changes, finish, settings, gateway.reloader.report
        )
        self.dispatcher = Dispatcher(self.services, tools, gateway.admission.read_owed)
        gateway.listen(self.dispatcher.noticing)
        self.intake = Intake(DropFolder(owner, max_bytes=settings.max_body, large=LARGE), gateway.admission)
        self.metrics = Metrics(self.services, self.dispatcher, self.intake, gateway.arrivals, self.observers)

    def _services_changed(self, change: Change) -> None:
        """Take note that services were added, changed or removed, or are broken."""
        for service in change.retired:
            release(self.plugins, service)
        self.dispatcher.look_again(self.recovery)
        self.intake.visits.want_all()

    def _housekeeping(self, owner: Owner) -> Housekeeping:
        return Housekeeping(owner, self._runtimes, self.settings.tidy, self.settings.retention)

    def _recover(self, owner: Owner) -> Recovery:
        read_owed = self.gateway.admission.read_owed
        return Recovery(owner, self.services, partial(candidates, self.plugins), read_owed)

    def _runtimes(self) -> set[Runtime]:
        """Return the runtimes that the services may use now."""
        names = {service.runtime for service in self.services.values()}
        return {runtime for name in names for runtime in candidates(self.plugins, name)}


class ApiProcess(Lifetime):
    """Accepts jobs of one spool and answers for them; its engine is another process, or will be one."""

    metrics = None
    """Only the engine's process counts."""

    def __init__(self, settings: Settings) -> None:
        self.gateway = Gateway(settings, self._owed)
        self._counted = (float("-inf"), 0)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        self.gateway.completions.attach(self.gateway.arrivals)
        async with self.gateway, self.gateway.arrivals:
            yield

    def health(self) -> Health:
        """Return the health of this process; without an engine somewhere, accepted jobs wait."""
        spool = self.gateway.spool
        problems = self.gateway.problems()
        if spool.lock().holder() is None:
            problems.append("no engine works on this spool: jobs are accepted, and wait for one")
        running = sum(1 for _ in spool.names(spool.run))
        return Health(
            ready=not problems,
            problems=tuple(problems),
            watcher_restarts=self.gateway.arrivals.restarts,
            queued=max(0, self._owed(spool) - running),
            running=running,
            notes=tuple(self.gateway.notes()),
        )

    def _owed(self, spool: Spool) -> int:
        """Return how many jobs wait or run: the number of files in queue/, at most a second old."""
        counted, number = self._counted
        if time.monotonic() - counted > _COUNT_TTL:
            number = sum(1 for _ in spool.names(spool.queue))
            self._counted = (time.monotonic(), number)
        return number
