"""Housekeeping: the removal of orphans, old staging files and expired jobs, off the path of every job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from treadle.interface.runtime import Runtime
from treadle.support.lifetime import Lifetime, background
from treadle_spool import InvalidDescriptor, Owner, Retention, collect

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_ABANDONED = 3600.0
"""Seconds after which a running engine removes the files of dead processes from tmp/."""


class Housekeeping(Lifetime):
    """A background task: every `interval` seconds it removes orphans of dead attempts, and expired jobs."""

    def __init__(
        self,
        owner: Owner,
        runtimes: Callable[[], Iterable[Runtime]],
        interval: float,
        retention: Retention,
    ) -> None:
        """Tidy up by the runtimes that are returned in each round."""
        self._owner = owner
        self._spool = owner.spool
        self._interval = interval
        self._retention = retention
        self._runtimes = runtimes

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with background(self._rounds()):
            yield

    async def _rounds(self) -> None:
        while True:
            for runtime in self._runtimes():
                try:
                    await runtime.tidy(self._spool.id, self._alive)
                except Exception:  # a plugin's code may raise anything
                    log.exception("runtime %s failed to tidy up", runtime.name)
            await self._try(self._owner.clear_tmp, _ABANDONED)
            if self._retention and (gone := await self._try(collect, self._spool, self._retention)):
                log.info("%d ended jobs were removed", len(gone))
            await asyncio.sleep(self._interval)

    async def _try(self, work: Callable[..., Value], *arguments: Any) -> Value | None:
        """Do some work on the disk in a thread; after an OSError the next round tries again."""
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            log.error("the spool can't be looked after: %s", error)
            return None

    def _alive(self, job: str, attempt: int) -> bool:
        """Return whether an attempt is the live one of a claimed job; True where its record can't be read."""
        try:
            return self._spool.read_live(job).attempt.number == attempt
        except FileNotFoundError:
            return (self._spool.run / job).exists()
        except (OSError, InvalidDescriptor):
            return True
