"""Retries of a call while its container engine is unreachable, for instance because it restarts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from treadle_containers.engine import EngineUnreachable

log = logging.getLogger(__name__)

_BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between tries; the last value is repeated."""

Answer = TypeVar("Answer")


def backoff() -> Iterator[float]:
    """Yield the seconds to wait between tries, without end."""
    yield from _BACKOFF
    while True:
        yield _BACKOFF[-1]


async def retry_within(timeout: float, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Retry a call for about timeout seconds; then raise EngineUnreachable."""
    end = time.monotonic() + timeout
    for delay in backoff():
        try:
            return await call()
        except EngineUnreachable:
            if time.monotonic() + delay > end:
                raise
            await asyncio.sleep(delay)
    raise AssertionError("the backoff never ends")


async def retry_until_reached(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Retry a call without a time limit: the engine's containers may be running meanwhile."""
    for number, delay in enumerate(backoff()):
        try:
            return await call()
        except EngineUnreachable as error:
            if number == len(_BACKOFF):
                log.warning("%s; the call is retried until the engine answers", error)
            await asyncio.sleep(delay)
    raise AssertionError("the backoff never ends")
