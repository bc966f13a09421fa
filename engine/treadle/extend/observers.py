"""Observers: plugins that are notified of events, each in order and in a task of its own.

A slow or failing observer delays neither the engine nor another observer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from treadle.extend.loader import Implementation, Plugins
from treadle.support.lifetime import Lifetime

log = logging.getLogger(__name__)

OBSERVED = ("job_changed", "interim_result", "engine_started", "engine_stopping")

_CALL_TIMEOUT = 10.0
"""Seconds that one call of an observer may take."""
_SHUTDOWN_TIMEOUT = 1.0
"""Seconds for the delivery of queued notifications when the engine stops."""
_QUEUE_LIMIT = 10_000
"""Notifications that are queued for one observer; further ones are dropped, and that is logged."""


class Observers(Lifetime):
    """Delivers notifications to every plugin with a hook of OBSERVED, from `async with` to its end."""

    def __init__(self, plugins: Plugins) -> None:
        self._observers: dict[str, _Observer] = {}
        self._listeners: list[tuple[str, Callable[..., None]]] = []
        for hook in OBSERVED:
            for name, implementation in plugins.implementations(hook):
                observer = self._observers.setdefault(name, _Observer(name))
                observer.implementations[hook] = implementation

    def listen(self, hook: str, listener: Callable[..., None]) -> None:
        """Call a function of the engine's with a hook's arguments: synchronously, in the event loop."""
        self._listeners.append((hook, listener))

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call the listeners, queue the notification for the observers, and return."""
        for wanted, listener in self._listeners:
            if wanted == hook:
                listener(**arguments)
        for observer in self._observers.values():
            observer.tell(hook, arguments)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        for observer in self._observers.values():
            observer.task = asyncio.create_task(observer.deliver())
        try:
            yield
        finally:
            await self._deliver_last()

    async def _deliver_last(self) -> None:
        """Deliver the queued notifications within the shutdown timeout, and drop the others."""
        tasks = {observer.task: observer.name for observer in self._observers.values() if observer.task}
        for observer in self._observers.values():
            observer.tell_last()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_SHUTDOWN_TIMEOUT)
            for task in late:
                log.error("plugin %s hangs: what it was not told yet is dropped", tasks[task])
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


class _Observer:
    """One plugin: its implementations, and its queue of notifications."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.implementations: dict[str, Implementation] = {}
        self.task: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()

    def tell(self, hook: str, arguments: dict[str, Any]) -> None:
        if hook not in self.implementations:
            return
        if self._queue.qsize() >= _QUEUE_LIMIT:
            log.error("plugin %s does not keep up: a notification of %s is dropped", self.name, hook)
            return
        self._queue.put_nowait((hook, arguments))

    def tell_last(self) -> None:
        self._queue.put_nowait(None)

    async def deliver(self) -> None:
        while (notification := await self._queue.get()) is not None:
            hook, arguments = notification
            try:
                async with asyncio.timeout(_CALL_TIMEOUT):
                    await self._call(self.implementations[hook], arguments)
            except TimeoutError:
                log.error("plugin %s hangs in %s: given up after %s s", self.name, hook, _CALL_TIMEOUT)
            except Exception:  # a plugin's code may raise anything
                log.exception("plugin %s failed in %s", self.name, hook)

    async def _call(self, implementation: Implementation, arguments: dict[str, Any]) -> None:
        if inspect.iscoroutinefunction(implementation.function):
            await implementation(**arguments)
        else:
            answer = await asyncio.to_thread(implementation, **arguments)
            if inspect.isawaitable(answer):
                await answer
