"""Housekeeping: what is looked after from time to time, off every job's path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from treadle.runtime import Runtime
from treadle_spool import InvalidDescriptor, Spool

log = logging.getLogger(__name__)


class Housekeeping:
    """Has runtimes remove what dead attempts left, at the start and every `pause` seconds."""

    def __init__(self, spool: Spool, runtimes: Iterable[Runtime], pause: float) -> None:
        self._spool = spool
        self._pause = pause
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
            await asyncio.sleep(self._pause)

    def _alive(self, job: str, attempt: int) -> bool:
        """Say whether an attempt is the live one of a claimed job; in doubt it is."""
        try:
            return self._spool.read_live(job).attempt.number == attempt
        except FileNotFoundError:
            return (self._spool.run / job).exists()
        except (OSError, InvalidDescriptor):
            return True
