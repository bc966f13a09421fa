"""Objects that work in the background from `async with` to its end."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)


class Lifetime(ABC):
    """An object that is entered once with `async with`, and works until that block is left.

    A subclass says in one context manager how its work begins and how it ends.
    """

    @abstractmethod
    def _lifetime(self) -> AbstractAsyncContextManager[None]:
        """Return the context of the object's work; called once, when the object is entered."""

    async def __aenter__(self) -> Self:
        self.__context = self._lifetime()
        await self.__context.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.__context.__aexit__(kind, error, trace)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a coroutine in a task of its own until the block is left; then cancel the task and await it.

    The work is expected to last. If it ends by an exception before that, the exception is logged at once.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_log_failure)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("background work failed: %s", task.get_coro(), exc_info=error)
