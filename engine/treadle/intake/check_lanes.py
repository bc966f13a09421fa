"""The lanes in which jobs are checked: one for each service, so a slow check delays its own service only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from treadle.support.lifetime import Lifetime
from treadle_spool import Descriptor

_WIDTH = 2
"""Jobs of one service that are checked at a time."""
_MOST_THREADS = 64


class CheckLanes(Lifetime):
    """Checks jobs in threads, from `async with` to its end; used in the event loop.

    The threads are its own. In those that all of the engine shares, a few slow checks would stop everything.
    """

    def __init__(self, services: Iterable[str], check: Callable[[Descriptor], None]) -> None:
        """Use check, which may block and raise."""
        self._lanes = {name: asyncio.Semaphore(_WIDTH) for name in services}
        self._check = check
        self._threads = ThreadPoolExecutor(min(_WIDTH * max(1, len(self._lanes)), _MOST_THREADS), "check")

    async def check(self, job: Descriptor) -> None:
        """Check a job; raise what check raises."""
        async with self._lanes[job.service]:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._check, job)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
