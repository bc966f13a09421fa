"""Plugins that are told what happens: each in order, at its own pace, and without a hold on anybody."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from treadle.extend.loader import Implementation, Plugins

log = logging.getLogger(__name__)

OBSERVED = ("job_changed", "interim_result", "engine_started", "engine_stopping")

_PATIENCE = 10.0
"""Seconds that one call of an observer may take."""
_FAREWELL = 1.0
"""Seconds that notices have which wait when the engine ends."""
_BACKLOG = 10_000
"""Notices that may wait for one observer; further ones are dropped, and that is logged."""


class Observers:
    """Delivers notices to every plugin that implements a hook of OBSERVED, from `async with` to its end."""

    def __init__(self, plugins: Plugins) -> None:
        self._observers: dict[str, _Observer] = {}
        self._listeners: list[tuple[str, Callable[..., None]]] = []
        for hook in OBSERVED:
            for name, implementation in plugins.implementations(hook):
                observer = self._observers.setdefault(name, _Observer(name))
                observer.implementations[hook] = implementation

    def listen(self, hook: str, listener: Callable[..., None]) -> None:
        """Have a function of our own called with a hook's arguments, at once and in the event loop."""
        self._listeners.append((hook, listener))

    def tell(self, hook: str, **arguments: Any) -> None:
        """Pass a notice on and return at once."""
        for wanted, listener in self._listeners:
            if wanted == hook:
                listener(**arguments)
        for observer in self._observers.values():
            observer.tell(hook, arguments)

    async def __aenter__(self) -> Self:
        for observer in self._observers.values():
            observer.task = asyncio.create_task(observer.deliver())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Deliver what waits, for a moment, and go."""
        tasks = {observer.task: observer.name for observer in self._observers.values() if observer.task}
        for observer in self._observers.values():
            observer.tell_last()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_FAREWELL)
            for task in late:
                log.error("plugin %s hangs: what it was not told yet is dropped", tasks[task])
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


class _Observer:
    """One plugin: its implementations, and the notices that wait for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.implementations: dict[str, Implementation] = {}
        self.task: asyncio.Task[None] | None = None
        self._notices: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()

    def tell(self, hook: str, arguments: dict[str, Any]) -> None:
        if hook not in self.implementations:
            return
        if self._notices.qsize() >= _BACKLOG:
            log.error("plugin %s does not keep up: a notice of %s is dropped", self.name, hook)
            return
        self._notices.put_nowait((hook, arguments))

    def tell_last(self) -> None:
        self._notices.put_nowait(None)

    async def deliver(self) -> None:
        while (notice := await self._notices.get()) is not None:
            hook, arguments = notice
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._call(self.implementations[hook], arguments)
            except TimeoutError:
                log.error("plugin %s hangs in %s: it was given up after %s s", self.name, hook, _PATIENCE)
            except Exception:  # a plugin's code may raise anything
                log.exception("plugin %s failed in %s", self.name, hook)

    async def _call(self, implementation: Implementation, arguments: dict[str, Any]) -> None:
        if inspect.iscoroutinefunction(implementation.function):
            await implementation(**arguments)
        else:
            answer = await asyncio.to_thread(implementation, **arguments)
            if inspect.isawaitable(answer):
                await answer
