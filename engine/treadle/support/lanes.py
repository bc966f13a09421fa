"""Lanes: workers over a queue that is taken from both ends, so that what is slow delays little else.

A worker takes the oldest item, then the newest, and so on in turn: what comes last does not wait for all that
came before, and what came first is not forgotten. A batch is taken half from each end.

An item that takes longer than `slow` seconds is counted out: another worker begins in place of the one that
is busy, up to `most` workers. The one that was busy ends when its item is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from treadle.support.lifetime import Lifetime

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Lane(Lifetime, Generic[Item]):
    """A queue and its workers, from `async with` to its end; used in the event loop.

    When it is left, the work in progress is cancelled, and items that wait are dropped.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[None]],
        *,
        batch: int = 1,
        workers: int = 1,
        slow: float | None = None,
        most: int = 1,
    ) -> None:
        """Call work with up to `batch` items at a time; what it raises is logged."""
        self._work = work
        self._batch = batch
        self._workers = workers
        self._slow = slow
        self._most = most
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._take_newest = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._relieved: set[asyncio.Task[None]] = set()
        """The workers that are busy with a slow item, and have another one in their place."""

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add an item."""
        self._items.append(item)
        self._filled.set()

    def put_back(self, items: Sequence[Item]) -> None:
        """Add items that were taken and are not done, before all others."""
        self._items.extendleft(reversed(items))
        self._filled.set()

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        for _ in range(self._workers):
            self._begin()
        try:
            yield
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        task = asyncio.create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._relieved.discard)

    def _relieve(self, busy: asyncio.Task[None]) -> None:
        """Have another worker begin in place of one that is slow."""
        if len(self._tasks) < self._most:
            self._relieved.add(busy)
            self._begin()

    async def _run(self) -> None:
        myself = asyncio.current_task()
        assert myself is not None
        while myself not in self._relieved:
            while not self._items:
                self._filled.clear()
                await self._filled.wait()
            await self._do(self._next(), myself)

    async def _do(self, items: Sequence[Item], worker: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        timer = None if self._slow is None else loop.call_later(self._slow, self._relieve, worker)
        try:
            await self._work(items)
        except Exception:
            log.exception("an item of a lane failed")
        finally:
            if timer is not None:
                timer.cancel()

    def _next(self) -> list[Item]:
        """Take the next items from the ends of the queue in turn."""
        items: list[Item] = []
        while self._items and len(items) < self._batch:
            items.append(self._items.pop() if self._take_newest else self._items.popleft())
            self._take_newest = not self._take_newest
        return items
