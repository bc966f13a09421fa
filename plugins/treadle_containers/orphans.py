"""Orphans: containers whose attempts are no longer alive, found by their labels."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from treadle_containers import spec
from treadle_containers.engine import ContainerEngine, ContainerState, EngineUnreachable

log = logging.getLogger(__name__)


class Orphans:
    """The orphans on one container engine, with the time since when each of them is known.

    The times are in memory only, so the grace period begins anew with each process.
    """

    def __init__(self, engine: ContainerEngine, grace: float) -> None:
        """Keep an orphan for grace seconds after it is first seen."""
        self._engine = engine
        self._grace = grace
        self._since: dict[str, float] = {}

    async def remove(self, spool_id: str, alive: Callable[[str, int], bool]) -> None:
        """Remove the spool's orphans whose grace period is over; raise EngineError.

        `alive(job, attempt)` may block. An unreachable engine is no error.
        """
        try:
            containers = await self._engine.containers(spec.SPOOL, spool_id)
        except EngineUnreachable:
            return
        orphans = {each.id for each in containers if not await asyncio.to_thread(_alive, each, alive)}
        now = time.monotonic()
        self._since = {each: self._since.get(each, now) for each in orphans}
        for each, since in self._since.items():
            if now - since >= self._grace:
                log.warning("container %s is an orphan: it is removed", each[:12])
                await self._engine.remove(each)


def _alive(container: ContainerState, alive: Callable[[str, int], bool]) -> bool:
    number = container.labels.get(spec.ATTEMPT, "")
    return number.isdigit() and alive(container.labels.get(spec.JOB, ""), int(number))
