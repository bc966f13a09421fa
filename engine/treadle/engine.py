"""The engine: the spool, the plugins and everything between them, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

from treadle.dispatch.dispatcher import Dispatcher
from treadle.dispatch.job_run import Toolbox
from treadle.dispatch.recovery import Found, recover
from treadle.extend.observers import Observers
from treadle.intake.drop import Intake
from treadle.intake.gateway import Gateway
from treadle.intake.health import Health
from treadle.interface.job import Job
from treadle.interface.runtime import Runtime
from treadle.interface.settings import Settings
from treadle.operate.housekeeping import Housekeeping
from treadle.operate.metrics import Metrics
from treadle.support.batching import BatchWorkers
from treadle_spool import Descriptor, DropFolder


class Engine(Gateway):
    """Runs the jobs of one spool, from `async with` to its end, besides all that a gateway does.

    Raises SpoolInUse when it is entered while another engine has the spool. When it is left, running
    jobs go on; the next engine adopts them.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.observers = Observers(self.plugins)
        self.observers.listen("job_changed", self.completions.hear)
        self._finishing = BatchWorkers("finish", self.spool.finish_all)
        tools = Toolbox(self.spool, self.plugins, self.observers, self.changes, self._finishing.do, settings)
        self.dispatcher = Dispatcher(self.services, tools)
        self.intake = Intake(DropFolder(self.spool, max_bytes=settings.max_body), self.admission)
        self.metrics = Metrics(self.dispatcher, self.intake, self.arrivals, self.observers)

    async def _enter(self, stack: AsyncExitStack) -> None:
        stack.enter_context(self.spool.lock())
        await stack.enter_async_context(self._accepting)
        await stack.enter_async_context(self._finishing)
        await stack.enter_async_context(self.observers)
        await stack.enter_async_context(self.changes)
        stack.push_async_callback(self.plugins.close)
        await asyncio.to_thread(self.spool.sweep)
        self._adopt(await asyncio.to_thread(self._recover))
        self.dispatcher.attach(self.arrivals)
        self.intake.attach(self.arrivals)
        await stack.enter_async_context(self.dispatcher)
        await stack.enter_async_context(self.intake)
        await stack.enter_async_context(self.arrivals)
        await stack.enter_async_context(
            Housekeeping(self.spool, self._runtimes(), self.settings.tidy, self.settings.retention)
        )
        self.observers.tell("engine_started", settings=self.settings)
        stack.callback(self.observers.tell, "engine_stopping")

    def _expect(self, name: str) -> None:
        self.dispatcher.expect(name)

    def _expect_no_more(self, name: str) -> None:
        self.dispatcher.expect_no_more(name)

    def _accepted(self, name: str, descriptor: Descriptor) -> None:
        self.dispatcher.hear(Job.of(name, descriptor))

    def owed(self) -> int:
        """Return how many jobs wait or run, of those that have been noticed."""
        return self.dispatcher.owed

    def health(self) -> Health:
        """Say how the engine is."""
        unserved = sorted(self.dispatcher.backlog.unserved)
        problems = self._watch_problems()
        problems += [f"jobs wait for service {name!r}, which is not served" for name in unserved]
        return Health(
            ready=not problems,
            problems=tuple(problems),
            watcher_restarts=self.arrivals.restarts,
            queued=len(self.dispatcher.backlog),
            running=len(self.dispatcher.runs),
        )

    def _recover(self) -> list[Found]:
        return list(recover(self.spool, self.services, self.plugins.candidates))

    def _runtimes(self) -> set[Runtime]:
        """Return the runtimes that the services may use."""
        names = {service.runtime for service in self.services.values()}
        return {runtime for name in names for runtime in self.plugins.candidates(name)}

    def _adopt(self, found: Iterable[Found]) -> None:
        for each in found:
            self.dispatcher.adopt(each.job, each.live)
