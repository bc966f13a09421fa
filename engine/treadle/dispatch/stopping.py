"""The stop of an attempt that nobody follows: its job is about to end, or to have its next attempt."""

from __future__ import annotations

import asyncio
import logging

from treadle.interface.attempt import Attempt
from treadle.interface.runtime import Runtime

log = logging.getLogger(__name__)

_STOP_TIMEOUT = 30.0
"""Seconds, besides the grace period, that a runtime has to stop the attempt."""


async def stop_unfollowed(runtime: Runtime, attempt: Attempt, grace: float) -> None:
    """Have the runtime stop the attempt, if it is alive; what fails in that is logged."""
    try:
        async with asyncio.timeout(grace + _STOP_TIMEOUT):
            await runtime.stop(attempt, grace)
    except Exception:  # a plugin's code may raise anything
        log.exception("runtime %s failed to stop job %s", runtime.name, attempt.job.id)
