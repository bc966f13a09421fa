"""Trouble of the host that may pass: a full or failing disk, no more file descriptors, no memory.

A job is never given up for it; what it stopped is tried again until it goes through.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk, or the user's share of it, is full."""
_PASSING = FULL | {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS}

Value = TypeVar("Value")


def may_pass(error: BaseException) -> bool:
    """Say whether an error is the host's and not that of what was asked for."""
    return isinstance(error, OSError) and error.errno in _PASSING


def backoff(first: float = 0.5, longest: float = 30.0) -> Iterator[float]:
    """Yield how many seconds to wait before the next try, each time, without end."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 2, longest)


async def retry_until_done(work: Callable[[], Awaitable[Value]], what: str) -> Value:
    """Have some work on the disk done again and again, until no OSError comes of it."""
    for pause in backoff():
        try:
            return await work()
        except OSError as error:
            log.error("%s: %s; trying again in %g s", what, error, pause)
            await asyncio.sleep(pause)
    raise AssertionError("there is always another pause")
