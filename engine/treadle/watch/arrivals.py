"""Arrivals: flat folders that files appear in, watched by watchdog.

An event is only a hint to look; the listing is the truth. The kernel drops events when its queue overflows,
and a thread of watchdog can die while its `Observer` looks alive. So each folder is listed at the start and
from time to time as well, and a dead watchdog is replaced. Handlers do nothing but wake the event loop: one
that raises would end watchdog's thread. No file is ever renamed out of a watched folder: that delays all
later events of the folder by half a second (the kernel's two halves of a move are paired there).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from treadle.support.lifetime import Lifetime, background

log = logging.getLogger(__name__)

Look = Callable[[str | None], None]
"""Called in the event loop, with the name of an entry that may be new, or None to look at all entries."""

ARRIVALS: Sequence[type[FileSystemEvent]] = (
    FileCreatedEvent,
    FileMovedEvent,
    FileClosedEvent,
    DirCreatedEvent,
)
"""The events of a folder that anybody may write to."""
LINKS: Sequence[type[FileSystemEvent]] = (FileCreatedEvent,)
"""The events of a folder that whole files are linked into."""
UNLINKS: Sequence[type[FileSystemEvent]] = (FileDeletedEvent,)
"""The events of a folder that files are removed from."""
FOLDERS: Sequence[type[FileSystemEvent]] = (DirCreatedEvent,)
"""The events of a folder that whole folders are renamed into."""

_CHECK_INTERVAL = 1.0
"""Seconds between two checks that watchdog's threads are alive."""


@dataclass(frozen=True, slots=True)
class _Watch:
    folder: Path
    events: Sequence[type[FileSystemEvent]]
    look: Look
    known: Callable[[str], bool]


class Arrivals(Lifetime):
    """The watcher of folders for new files, from `async with` to its end.

    It calls every look with None at the start, and again every `rescan` seconds, so that entries without
    an event are found as well. When watchdog has died it is replaced, and every look is called.
    """

    def __init__(self, rescan: float) -> None:
        self.restarts = 0
        """How often watchdog had died and was replaced."""
        self._rescan = rescan
        self._watches: list[_Watch] = []
        self._watchdog: BaseObserver | None = None

    def watch(
        self,
        folder: Path,
        events: Sequence[type[FileSystemEvent]],
        look: Look,
        known: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Watch one flat folder; called before the watcher is entered.

        look is not called for an entry that is known; known is called in watchdog's thread.
        """
        self._watches.append(_Watch(folder, events, look, known))

    @property
    def healthy(self) -> bool:
        """Whether watchdog's thread and all that feed it are alive."""
        watchdog = self._watchdog
        return (
            watchdog is not None
            and watchdog.is_alive()
            and all(each.is_alive() for each in watchdog.emitters)
        )

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        self._start()
        self._look_at_everything()
        try:
            async with background(self._check()):
                yield
        finally:
            await asyncio.to_thread(self._stop)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        watchdog = Observer()
        for folder in {watch.folder for watch in self._watches}:
            # One watch a folder: inotify knows a folder once, and the last mask it is given wins.
            watches = [watch for watch in self._watches if watch.folder == folder]
            wanted = sorted(
                {kind for watch in watches for kind in watch.events}, key=lambda kind: kind.__name__
            )
            watchdog.schedule(_Waker(loop, watches), str(folder), recursive=False, event_filter=wanted)
        self._watchdog = watchdog
        watchdog.start()

    def _stop(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog.join()

    def _look_at_everything(self) -> None:
        for watch in self._watches:
            watch.look(None)

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        next_rescan = loop.time() + self._rescan
        while True:
            await asyncio.sleep(min(_CHECK_INTERVAL, self._rescan))
            if not self.healthy:
                await self._replace()
            elif loop.time() < next_rescan:
                continue
            next_rescan = loop.time() + self._rescan
            self._look_at_everything()

    async def _replace(self) -> None:
        log.warning("the folder watcher has died; starting it again")
        try:
            await asyncio.to_thread(self._stop)
            self._start()
        except (OSError, RuntimeError):
            log.exception(
                "the folder watcher can't be started; the folders are looked at every %s s", _CHECK_INTERVAL
            )
        else:
            self.restarts += 1


class _Waker(FileSystemEventHandler):
    """The handler of events in watchdog's thread: it wakes the event loop, and does nothing else."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watches: Sequence[_Watch]) -> None:
        self._loop = loop
        self._watches = watches

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        name = os.fsdecode(path).rpartition("/")[2]
        with suppress(RuntimeError):  # the loop has been closed
            for watch in self._watches:
                if type(event) in watch.events and not watch.known(name):
                    self._loop.call_soon_threadsafe(watch.look, name)
