"""The intake of the drop folder: each complete file in drop/ becomes a job, or is refused with a reason.

The checks of the file itself are the spool's (treadle_spool/drop.py); here is the order in which names are
looked at, and what waits for another look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from treadle.intake.admission import Admission, DiskFull, QueueFull, ShuttingDown
from treadle.support.lifetime import Lifetime, background
from treadle.watch.arrivals import ARRIVALS, Arrivals
from treadle_spool import DropFolder, NotYet, Refused

log = logging.getLogger(__name__)

_RETRY_DELAY = 2.0
"""Seconds until the next look at an unfinished file, where no event comes before."""


class Intake(Lifetime):
    """A background task that takes dropped files, from `async with` to its end; the engine has one."""

    def __init__(self, drop: DropFolder, admission: Admission) -> None:
        self.refused = 0
        """How many files were refused since the start."""
        self._drop = drop
        self._admission = admission
        self._names: dict[str | None, None] = {}
        self._wake = asyncio.Event()

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in drop/."""
        arrivals.watch(self._drop.path, ARRIVALS, self._look)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with background(self._take_all()):
            yield

    def _look(self, name: str | None) -> None:
        self._names[name] = None
        self._wake.set()

    async def _take_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            names, self._names = self._names, {}
            try:
                listed = await asyncio.to_thread(self._drop.names) if None in names else list(names)
                for name in listed:
                    await self._take(str(name))
            except (OSError, QueueFull, DiskFull, ShuttingDown) as error:
                log.warning("what was dropped has to wait: %s", error)
                asyncio.get_running_loop().call_later(_RETRY_DELAY, self._look, None)

    async def _take(self, name: str) -> None:
        self._admission.check_room()
        match await asyncio.to_thread(self._drop.take, name, self._admission.check):
            case NotYet(unfinished=True):
                asyncio.get_running_loop().call_later(_RETRY_DELAY, self._look, name)
            case Refused() as refused:
                self.refused += 1
                log.warning("%r was refused: %s", refused.name, refused.reason)
