"""The drop folder's intake: what lies in drop/ becomes a job or is refused, as soon as it is complete."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from treadle.intake.admission import Admission, DiskFull, QueueFull, ShuttingDown
from treadle.watch.arrivals import ARRIVALS, Arrivals
from treadle_spool import DropFolder, NotYet, Refused

log = logging.getLogger(__name__)

_LATER = 2.0
"""Seconds after which an unfinished file is looked at again, if nothing else draws attention to it."""


class Intake:
    """Takes what is dropped, from `async with` to its end. Needs the engine's lock."""

    def __init__(self, drop: DropFolder, admission: Admission) -> None:
        self.refused = 0
        """How many files were refused since the start."""
        self._drop = drop
        self._admission = admission
        self._names: dict[str | None, None] = {}
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in drop/."""
        arrivals.watch(self._drop.path, ARRIVALS, self._look)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._take_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _look(self, name: str | None) -> None:
        self._names[name] = None
        self._something.set()

    async def _take_all(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            names, self._names = self._names, {}
            try:
                listed = await asyncio.to_thread(self._drop.names) if None in names else list(names)
                for name in listed:
                    await self._take(str(name))
            except (OSError, QueueFull, DiskFull, ShuttingDown) as error:
                log.warning("what was dropped has to wait: %s", error)
                asyncio.get_running_loop().call_later(_LATER, self._look, None)

    async def _take(self, name: str) -> None:
        self._admission.check_room()
        match await asyncio.to_thread(self._drop.take, name, self._admission.check):
            case NotYet(unfinished=True):
                asyncio.get_running_loop().call_later(_LATER, self._look, name)
            case Refused() as refused:
                self.refused += 1
                log.warning("%r was refused: %s", refused.name, refused.reason)
