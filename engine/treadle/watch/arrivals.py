"""Folders watched. An event is only a hint to look; the listing is the truth."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

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

log = logging.getLogger(__name__)

Look = Callable[[str | None], None]
"""Called in the event loop: with the name of an entry that may be new, or None for "look at them all"."""

ARRIVALS: Sequence[type[FileSystemEvent]] = (
    FileCreatedEvent,
    FileMovedEvent,
    FileClosedEvent,
    DirCreatedEvent,
)
"""What happens in a folder that anybody may write to."""
LINKS: Sequence[type[FileSystemEvent]] = (FileCreatedEvent,)
"""What happens in a folder that whole files are linked into."""
UNLINKS: Sequence[type[FileSystemEvent]] = (FileDeletedEvent,)
"""What happens in a folder that files are removed from."""
FOLDERS: Sequence[type[FileSystemEvent]] = (DirCreatedEvent,)
"""What happens in a folder that whole folders are renamed into."""

_PULSE = 1.0
"""Seconds between two looks at whether the observer is alive."""


@dataclass(frozen=True, slots=True)
class _Watch:
    folder: Path
    events: Sequence[type[FileSystemEvent]]
    look: Look
    known: Callable[[str], bool]


class Arrivals:
    """Tells of what arrives in folders, from `async with` to its end.

    Every look is called once at the start and every `rescan` seconds with None, so that what the
    observer never heard of is found as well. An observer that has died is started again, and
    everything is looked at.
    """

    def __init__(self, rescan: float) -> None:
        self.restarts = 0
        """How often the observer had to be started again."""
        self._rescan = rescan
        self._watches: list[_Watch] = []
        self._observer: BaseObserver | None = None
        self._pulse: asyncio.Task[None] | None = None

    def watch(
        self,
        folder: Path,
        events: Sequence[type[FileSystemEvent]],
        look: Look,
        known: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Watch one flat folder; to be called before the watcher is entered.

        Nobody is woken for an entry that is known; that is asked in the observer's thread.
        """
        self._watches.append(_Watch(folder, events, look, known))

    @property
    def healthy(self) -> bool:
        """Whether the observer and every thread that feeds it are alive."""
        observer = self._observer
        return (
            observer is not None
            and observer.is_alive()
            and all(each.is_alive() for each in observer.emitters)
        )

    async def __aenter__(self) -> Self:
        self._observe()
        self._look_at_everything()
        self._pulse = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            with suppress(asyncio.CancelledError):
                await self._pulse
        await asyncio.to_thread(self._forget)

    def _observe(self) -> None:
        loop = asyncio.get_running_loop()
        observer = Observer()
        for folder in {watch.folder for watch in self._watches}:
            # One watch a folder: inotify knows a folder once, and the last mask it is given wins.
            watches = [watch for watch in self._watches if watch.folder == folder]
            wanted = sorted(
                {kind for watch in watches for kind in watch.events}, key=lambda kind: kind.__name__
            )
            observer.schedule(_Waker(loop, watches), str(folder), recursive=False, event_filter=wanted)
        self._observer = observer
        observer.start()

    def _forget(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def _look_at_everything(self) -> None:
        for watch in self._watches:
            watch.look(None)

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        next_rescan = loop.time() + self._rescan
        while True:
            await asyncio.sleep(min(_PULSE, self._rescan))
            if not self.healthy:
                await self._revive()
            elif loop.time() < next_rescan:
                continue
            next_rescan = loop.time() + self._rescan
            self._look_at_everything()

    async def _revive(self) -> None:
        log.warning("the folder observer has died; starting it again")
        try:
            await asyncio.to_thread(self._forget)
            self._observe()
        except (OSError, RuntimeError):
            log.exception(
                "the folder observer can't be started; the folders are looked at every %s s", _PULSE
            )
        else:
            self.restarts += 1


class _Waker(FileSystemEventHandler):
    """Wakes the loop and does nothing else: a handler that raises would end the observer's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watches: Sequence[_Watch]) -> None:
        self._loop = loop
        self._watches = watches

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        name = os.fsdecode(path).rpartition("/")[2]
        with suppress(RuntimeError):  # the loop has been closed: nobody is left to be woken
            for watch in self._watches:
                if type(event) in watch.events and not watch.known(name):
                    self._loop.call_soon_threadsafe(watch.look, name)
