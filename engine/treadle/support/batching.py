"""Batch workers: threads that do blocking work on the disk, as many items at a time as wait for it.

This is a group commit in general form. A worker that is free takes all items that wait at that moment, up
to the batch size, does them in one call, and hands all outcomes back to the event loop in one callback. So
items that come together share what is expensive (an fsync of a folder, a thread switch), and an item that
comes alone is done at once: no timer delays it to wait for others. `asyncio.to_thread` was used before; it
costs two thread switches for each item, and each item pays for its own fsync.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from treadle.support.lifetime import Lifetime

Item = TypeVar("Item")
Value = TypeVar("Value")
Work = Callable[[Sequence[Item]], Sequence[Value | Exception]]
"""Does a batch of items, and returns the outcome of each: a value, or the exception to be raised."""


class BatchWorkers(Lifetime, Generic[Item, Value]):
    """Some threads for one kind of work, from `async with` to its end.

    Items that were handed in before the end are done before it.
    """

    def __init__(self, name: str, work: Work[Item, Value], *, workers: int = 4, batch_size: int = 8) -> None:
        self._work = work
        self._batch_size = batch_size
        self._waiting: queue.SimpleQueue[tuple[Item, asyncio.Future[Value]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        self._loop: asyncio.AbstractEventLoop | None = None

    def do(self, item: Item) -> asyncio.Future[Value]:
        """Hand in an item; called in the event loop. The future gets the item's outcome."""
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.put((item, future))
        return future

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            for _ in self._threads:
                self._waiting.put(None)
            for thread in self._threads:
                await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        assert self._loop is not None
        while (first := self._waiting.get()) is not None:
            batch = [first]
            ended = self._fill(batch)
            items, futures = zip(*batch, strict=True)
            self._loop.call_soon_threadsafe(_set_outcomes, futures, self._outcomes(items))
            del first, batch, items, futures  # they may be large, and the next ones may come tomorrow
            if ended:
                return

    def _fill(self, batch: list[tuple[Item, asyncio.Future[Value]]]) -> bool:
        """Add the items that wait to the batch; return whether the end of the workers was among them."""
        while len(batch) < self._batch_size:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return False
            if item is None:
                return True
            batch.append(item)
        return False

    def _outcomes(self, items: Sequence[Item]) -> Sequence[Value | Exception]:
        try:
            return self._work(items)
        except Exception as error:  # noqa: BLE001  # it is raised where the item is waited for
            return [error for _ in items]


def _set_outcomes(futures: Sequence[asyncio.Future[Value]], outcomes: Sequence[Value | Exception]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():
            continue  # it was cancelled meanwhile
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
