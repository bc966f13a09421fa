"""The engine: the spool, the plugins and everything between them, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from treadle.admission import Admission
from treadle.dispatcher import Dispatcher
from treadle.endings import Endings
from treadle.errors import ServiceError
from treadle.growth import Growth
from treadle.health import Health
from treadle.housekeeping import Housekeeping
from treadle.intake import Intake
from treadle.jobrun import Toolbox
from treadle.metrics import Metrics
from treadle.observers import Observers
from treadle.plugins import Plugins
from treadle.recovery import Found, recover
from treadle.runtime import Runtime
from treadle.service import Service, nearest, read_services
from treadle.settings import Settings
from treadle.watcher import Watcher
from treadle_spool import Descriptor, DropFolder, Spool, Status


class Engine:
    """Runs the jobs of one spool, from `async with` to its end.

    Raises ServiceError, SettingsError, NotASpool when it is made, and SpoolInUse when it is entered
    while another engine has the spool. When it is left, running jobs go on; the next engine adopts them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plugins = Plugins(settings)
        self.services = read_services(settings.projects, settings.services, self.plugins.options)
        for service in self.services.values():
            _check(service, self.plugins)
        self.spool = Spool.open(settings.spool)
        self.watcher = Watcher(settings.rescan)
        self.endings = Endings(self.spool, self.watcher)
        self.observers = Observers(self.plugins)
        self._growth = Growth()
        tools = Toolbox(self.spool, self.plugins, self.observers, self._growth, settings)
        self.dispatcher = Dispatcher(self.services, tools)
        self.admission = Admission(
            self.spool, self.services, self.plugins, settings, lambda: self.dispatcher.owed
        )
        self.intake = Intake(DropFolder(self.spool, max_bytes=settings.max_body), self.admission)
        self.metrics = Metrics(self.dispatcher, self.intake, self.watcher, self.observers)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(self.spool.lock())
            await stack.enter_async_context(self.observers)
            await stack.enter_async_context(self._growth)
            stack.push_async_callback(self.plugins.close)
            await asyncio.to_thread(self.spool.sweep)
            self._adopt(await asyncio.to_thread(self._recover))
            self.dispatcher.attach(self.watcher)
            self.intake.attach(self.watcher)
            await stack.enter_async_context(self.dispatcher)
            await stack.enter_async_context(self.intake)
            await stack.enter_async_context(self.watcher)
            await stack.enter_async_context(
                Housekeeping(self.spool, self._runtimes(), self.settings.tidy, self.settings.keep)
            )
            self.observers.tell("engine_started", settings=self.settings)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.observers.tell("engine_stopping")
        await self._stack.aclose()

    async def submit(self, descriptor: Descriptor, name: str | None = None) -> Status:
        """Accept a job durably and return its status.

        Raises InvalidDescriptor, NameTaken, QueueFull or DiskFull.
        """
        self.admission.check_room()
        await asyncio.to_thread(self.admission.check, descriptor)
        return await asyncio.to_thread(self.spool.accept, descriptor, name)

    def health(self) -> Health:
        """Say how the engine is."""
        problems = list(self._problems())
        return Health(
            ready=not problems,
            problems=tuple(problems),
            observer_restarts=self.watcher.restarts,
            queued=len(self.dispatcher.backlog),
            running=len(self.dispatcher.runs),
        )

    def _problems(self) -> list[str]:
        problems = []
        if not self.watcher.healthy:
            problems.append("the folder observer is dead; it is being started again")
        problems += [
            f"jobs wait for service {name!r}, which is not served"
            for name in sorted(self.dispatcher.backlog.unserved)
        ]
        return problems

    def _recover(self) -> list[Found]:
        return list(recover(self.spool, self.services, self.plugins.candidates))

    def _runtimes(self) -> set[Runtime]:
        """Return the runtimes that the services may use."""
        names = {service.runtime for service in self.services.values()}
        return {runtime for name in names for runtime in self.plugins.candidates(name)}

    def _adopt(self, found: Iterable[Found]) -> None:
        for each in found:
            self.dispatcher.adopt(each.job, each.live)


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
