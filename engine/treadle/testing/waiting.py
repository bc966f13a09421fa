"""Waiting for a condition, in tests: a test that sleeps for a fixed time is slow, or fails on a slow machine.

Both functions poll, because most of what a test waits for only files or processes show.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_POLL_INTERVAL = 0.005


async def until(
    condition: Callable[[], Value], what: str = "the condition of the test", timeout: float = 20.0
) -> Value:
    """Call condition in the event loop until it returns a true value, and return that value.

    Between two calls the event loop runs other tasks. Raises AssertionError with `what` after timeout
    seconds. An exception of the condition is raised at once.
    """
    end = time.monotonic() + timeout
    while not (value := condition()):
        _check_time(end, what, timeout)
        await asyncio.sleep(_POLL_INTERVAL)
    return value


def eventually(look: Callable[[], Value | None], what: str, timeout: float = 30.0) -> Value:
    """Call look until it returns a true value, and return that value; for tests without an event loop.

    Raises AssertionError with `what` after timeout seconds. An exception of look is raised at once.
    """
    end = time.monotonic() + timeout
    while not (value := look()):
        _check_time(end, what, timeout)
        time.sleep(_POLL_INTERVAL)
    return value


def _check_time(end: float, what: str, timeout: float) -> None:
    if time.monotonic() > end:
        raise AssertionError(f"{what}: not within {timeout:g} s")
