"""Transient errors of the host, and retrying until they have passed.

A full or failing disk, no more file descriptors, no memory: no job is given up for these. What they stopped
is tried again, with a backoff, until it succeeds.
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
_TRANSIENT = FULL | {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS}

Value = TypeVar("Value")


def may_pass(error: BaseException) -> bool:
    """Return whether an error is a transient one of the host, and so no fault of the job."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT


def backoff(first: float = 0.5, longest: float = 30.0) -> Iterator[float]:
    """Yield the seconds to wait before each next try, doubled each time up to longest, without end."""
    delay = first
    while True:
        yield delay
        delay = min(delay * 2, longest)


async def retry_until_done(
    work: Callable[[], Awaitable[Value]],
    what: str,
    *,
    hopeless: Callable[[OSError], bool] = lambda _: False,
) -> Value:
    """Call work until it raises no OSError, and return its value; each failure is logged after `what`.

    An error for which hopeless returns True is raised: no retry mends it.
    """
    for delay in backoff():
        try:
            return await work()
        except OSError as error:
            if hopeless(error):
                raise
            log.error("%s: %s; trying again in %g s", what, error, delay)
            await asyncio.sleep(delay)
    raise AssertionError("backoff has no end")
