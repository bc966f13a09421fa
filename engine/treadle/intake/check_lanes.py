"""The lanes in which jobs are checked: one for each service, so a slow check delays its own service only."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from treadle.support.lifetime import Lifetime

Value = TypeVar("Value")

_WIDTH = 2
"""Jobs of one service that are checked at a time."""
_MOST_THREADS = 64
"""They are started when they are needed."""


class CheckLanes(Lifetime):
    """Checks jobs in threads, from `async with` to its end; used in the event loop.

    The threads are its own. In those that all of the engine shares, a few slow checks would stop everything.
    """

    def __init__(self) -> None:
        self._lanes: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_WIDTH))
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "check")

    async def run(self, service: str, check: Callable[[], Value]) -> Value:
        """Call check, which may block, for a service that is served; return or raise what it does."""
        async with self._lanes[service]:
            return await asyncio.get_running_loop().run_in_executor(self._threads, check)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
