"""Crews: threads that do work on the disk, as much of it at a time as there is."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

Piece = TypeVar("Piece")
Value = TypeVar("Value")
Work = Callable[[Sequence[Piece]], Sequence[Value | Exception]]
"""Does some pieces of work, and returns for each what came of it."""


class BatchWorkers(Generic[Piece, Value]):
    """Some hands for one kind of work, from `async with` to its end; what was handed in before that is done.

    A hand that is free takes whatever waits at that moment, so that the pieces can share what is costly
    (an fsync), and hands it back in one go. A piece that comes alone is not kept waiting for others.
    """

    def __init__(self, name: str, work: Work[Piece, Value], *, hands: int = 4, most: int = 8) -> None:
        """Have so many threads take so many pieces at a time at the most."""
        self._work = work
        self._most = most
        self._waiting: queue.SimpleQueue[tuple[Piece, asyncio.Future[Value]] | None] = queue.SimpleQueue()
        self._hands = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(hands)
        ]
        self._loop: asyncio.AbstractEventLoop | None = None

    def do(self, piece: Piece) -> asyncio.Future[Value]:
        """Hand in a piece of work; the future has what comes of it."""
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.put((piece, future))
        return future

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for hand in self._hands:
            hand.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self._hands:
            self._waiting.put(None)
        for hand in self._hands:
            await asyncio.to_thread(hand.join)

    def _serve(self) -> None:
        assert self._loop is not None
        while (first := self._waiting.get()) is not None:
            taken = [first]
            over = self._take_more(taken)
            pieces, futures = zip(*taken, strict=True)
            self._loop.call_soon_threadsafe(_hand_back, futures, self._outcomes(pieces))
            if over:
                return

    def _take_more(self, taken: list[tuple[Piece, asyncio.Future[Value]]]) -> bool:
        """Take what waits besides; return whether the end was among it."""
        while len(taken) < self._most:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                return False
            if more is None:
                return True
            taken.append(more)
        return False

    def _outcomes(self, pieces: Sequence[Piece]) -> Sequence[Value | Exception]:
        try:
            return self._work(pieces)
        except Exception as error:  # noqa: BLE001  # whoever waits has to hear of it
            return [error for _ in pieces]


def _hand_back(futures: Sequence[asyncio.Future[Value]], outcomes: Sequence[Value | Exception]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():
            continue  # nobody waits any more
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
