"""Arrivals: flat folders that files appear in, watched by watchdog.

An event is only a hint to look; the listing is the truth. The kernel drops events when its queue overflows,
and a thread of watchdog can die while its `Observer` looks alive. So each folder is listed at the start and
from time to time as well, and a dead watch is replaced. Where the kernel can't watch a folder, it is polled
(folder_watch.py). Handlers do nothing but wake the event loop: one that raises would end watchdog's thread.
No file is ever renamed out of a watched folder: that delays all later events of the folder by half a second
(the kernel's two halves of a move are paired there). A rename inside of it delays nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
)

from treadle.support.lifetime import Lifetime, background
from treadle.watch.folder_watch import FolderWatch
from treadle.watch.waker import Look, Waker, Watch

log = logging.getLogger(__name__)

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
POLL_INTERVAL = 0.25
"""Seconds between two looks at a folder that can't be watched."""
_REVIVAL_INTERVAL = 30.0
"""Seconds until it is tried again to watch it."""


class Arrivals(Lifetime):
    """The watcher of folders for new files, from `async with` to its end.

    It calls every look with None at the start, and again every `rescan` seconds, so that entries without
    an event are found as well. When the watch of a folder has died, or the folder was made anew, the watch is
    replaced, and the looks at that folder are called.
    """

    def __init__(self, rescan: float) -> None:
        self.restarts = 0
        """How often watchdog had died and was replaced."""
        self._rescan = rescan
        self._watches: list[Watch] = []
        self._folders: list[FolderWatch] = []
        self._told: set[str] = set()
        """The reasons for polling that are logged already."""

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
        self._watches.append(Watch(folder, events, look, known))

    def problems(self) -> list[str]:
        """Return why new entries are not noticed, in sentences."""
        problems = [f"the folder {folder.path} is missing" for folder in self._folders if folder.missing]
        if not problems and any(folder.trouble is None and not folder.watched for folder in self._folders):
            problems = ["the folder watcher is dead; it is being started again"]
        return problems

    def notes(self) -> list[str]:
        """Return which folders are polled, in sentences: new entries are noticed a moment later."""
        return [f"{_names(polled)} is polled: {why}" for why, polled in self._polled().items()]

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        self._make()
        await asyncio.to_thread(self._start_all)
        self._look_at_everything()
        try:
            async with background(self._check()):
                yield
        finally:
            await asyncio.to_thread(self._stop_all)

    def _make(self) -> None:
        loop = asyncio.get_running_loop()
        for path in {watch.folder: None for watch in self._watches}:
            # One watch a folder: inotify knows a folder once, and the last mask it is given wins.
            watches = [watch for watch in self._watches if watch.folder == path]
            kinds = {kind for watch in watches for kind in watch.events}
            wanted = sorted(kinds, key=lambda kind: kind.__name__)
            self._folders.append(FolderWatch(path, Waker(loop, watches), wanted))

    def _start_all(self) -> None:
        for folder in self._folders:
            folder.start()
        self._tell_of_polling()

    def _stop_all(self) -> None:
        for folder in self._folders:
            folder.stop()

    def _look_at_everything(self) -> None:
        for watch in self._watches:
            watch.look(None)

    def _look_at(self, folders: Sequence[FolderWatch]) -> None:
        paths = {folder.path for folder in folders}
        for watch in self._watches:
            if watch.folder in paths:
                watch.look(None)

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        next_rescan, next_revival = loop.time() + self._rescan, loop.time() + _REVIVAL_INTERVAL
        while True:
            polled = any(folder.trouble for folder in self._folders)
            await asyncio.sleep(min(POLL_INTERVAL if polled else _CHECK_INTERVAL, self._rescan))
            revive = loop.time() >= next_revival
            changed = await asyncio.to_thread(self._survey, revive)
            if revive:
                next_revival = loop.time() + _REVIVAL_INTERVAL
            if loop.time() >= next_rescan:
                next_rescan = loop.time() + self._rescan
                self._look_at_everything()
            else:
                self._look_at(changed)

    def _survey(self, revive: bool) -> list[FolderWatch]:
        """Replace the watches that have died, and return the folders in which something may be new.

        What can't be watched is tried again at each revival, and when the folder has come back.
        """
        changed = []
        for folder in self._folders:
            if folder.trouble is None:
                if not folder.watched:
                    log.warning("the watch of %s has died; starting it again", folder.path)
                    self._restart(folder)
                    changed.append(folder)
            else:
                came_back = folder.was_missing and not folder.missing
                if (came_back or revive) and self._restart(folder):
                    log.info("%s is watched again", folder.path)
                if folder.changed():
                    changed.append(folder)
        self._tell_of_polling()
        return changed

    def _restart(self, folder: FolderWatch) -> bool:
        folder.stop()
        started = folder.start()
        self.restarts += started
        return started

    def _polled(self) -> dict[str, list[FolderWatch]]:
        """Return the folders that are polled, by the reason."""
        polled: dict[str, list[FolderWatch]] = {}
        for folder in self._folders:
            if folder.trouble is not None:
                polled.setdefault(folder.trouble, []).append(folder)
        return polled

    def _tell_of_polling(self) -> None:
        """Log which folders can't be watched: one line for each reason, when it is new."""
        polled = self._polled()
        for why in polled.keys() - self._told:
            log.warning("%s is looked at every %g s: %s", _names(polled[why]), POLL_INTERVAL, why)
        self._told = set(polled)


def _names(folders: Sequence[FolderWatch]) -> str:
    return "/, ".join(sorted(folder.path.name for folder in folders)) + "/"
