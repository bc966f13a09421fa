"""Housekeeping: what is looked after from time to time, off every job's path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from treadle.interface.runtime import Runtime
from treadle_spool import InvalidDescriptor, Retention, Spool, collect

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_FORGOTTEN = 3600.0
"""Seconds after which what a dead process has left in tmp/ is removed while the engine runs."""


class Housekeeping:
    """Every `pause` seconds removes what dead attempts have left, and ended jobs that are not kept."""

    def __init__(self, spool: Spool, runtimes: Iterable[Runtime], pause: float, retention: Retention) -> None:
        self._spool = spool
        self._pause = pause
        self._retention = retention
        self._runtimes = tuple(runtimes)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._rounds())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _rounds(self) -> None:
        while True:
            for runtime in self._runtimes:
                try:
                    await runtime.tidy(self._spool.id, self._alive)
                except Exception:  # a plugin's code may raise anything
                    log.exception("runtime %s failed to tidy up", runtime.name)
            await self._try(self._spool.clear_tmp, _FORGOTTEN)
            if self._retention and (gone := await self._try(collect, self._spool, self._retention)):
                log.info("%d ended jobs were removed", len(gone))
            await asyncio.sleep(self._pause)

    async def _try(self, work: Callable[..., Value], *arguments: Any) -> Value | None:
        """Have a thread do some work on the disk; if that refuses, there is another round."""
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            log.error("the spool can't be looked after: %s", error)
            return None

    def _alive(self, job: str, attempt: int) -> bool:
        """Say whether an attempt is the live one of a claimed job; in doubt it is."""
        try:
            return self._spool.read_live(job).attempt.number == attempt
        except FileNotFoundError:
            return (self._spool.run / job).exists()
        except (OSError, InvalidDescriptor):
            return True
