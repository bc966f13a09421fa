"""Changes: folders whose files grow, watched through one inotify instance.

watchdog can't do this: it starts a thread for each folder, and a folder here lives as long as one attempt.

Where inotify is at its limits, followers are woken from time to time instead, and look whether there is more.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

from treadle.support.lifetime import Lifetime, background

log = logging.getLogger(__name__)

_POLL_INTERVAL = 0.5
"""Seconds between two calls of followers whose folder can't be watched."""
_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.ENOSYS}
_INSIDE = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.MOVE_SELF | Mask.ONLYDIR | Mask.DONT_FOLLOW


class _Watched:
    """One watch of the kernel, and its followers: an event each, with the one name it follows, or None."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.followers: dict[asyncio.Event, str | None] = {}


class Changes(Lifetime):
    """Watches any number of folders, from `async with` to its end; used in the event loop."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._polled: set[asyncio.Event] = set()
        self._limited = asyncio.Event()
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify()
        except OSError as error:
            self._note_limit(error)

    @contextmanager
    def inside(
        self, folder: Path, name: str | None = None, event: asyncio.Event | None = None
    ) -> Iterator[asyncio.Event]:
        """Yield an event that is set when a file of the folder grows or appears, or the folder is renamed.

        It is a new event, or the given one, which another folder may set as well.

        With a name, only changes of that entry count. The one who waits for the event clears it. Raises
        FileNotFoundError if there is no folder, NotADirectoryError for anything else, also for a link to one,
        and OSError.
        """
        watch = self._add_watch(folder)
        if watch is None:
            self._polled.add(event := event or asyncio.Event())
            try:
                yield event
            finally:
                self._polled.discard(event)
            return
        watched = self._watched.setdefault(id(watch), _Watched(watch))
        event = event or asyncio.Event()
        watched.followers[event] = name
        try:
            yield event
        finally:
            del watched.followers[event]
            if not watched.followers:
                del self._watched[id(watch)]
                with suppress(OSError):  # the folder is gone, and its watch with it
                    self._rm_watch(watch)

    def _add_watch(self, folder: Path) -> Watch | None:
        """Watch a folder; return None if inotify is at a limit, and the follower is to be polled."""
        if self._inotify is None:
            folder.stat()
            return None
        try:
            return self._inotify.add_watch(folder, _INSIDE)  # the same one for a watched folder
        except OSError as error:
            if error.errno not in _LIMITS:
                raise
            self._note_limit(error)
            folder.stat()
            return None

    def _rm_watch(self, watch: Watch) -> None:
        if self._inotify is not None:
            self._inotify.rm_watch(watch)

    def _note_limit(self, error: OSError) -> None:
        if not self._limited.is_set():
            log.warning(
                "inotify is at a limit (%s): logs and interim results are looked at every %g s",
                error.strerror,
                _POLL_INTERVAL,
            )
        self._limited.set()

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        try:
            async with background(self._poll()):
                if self._inotify is None:
                    yield
                else:
                    async with background(self._pass_on(self._inotify)):
                        yield
        finally:
            if self._inotify is not None:
                self._inotify.close()

    async def _poll(self) -> None:
        await self._limited.wait()
        while True:
            await asyncio.sleep(_POLL_INTERVAL)
            for event in self._polled:
                event.set()

    async def _pass_on(self, inotify: Inotify) -> None:
        async for change in inotify:
            if change.watch is None:
                self._wake_all()
            elif watched := self._watched.get(id(change.watch)):
                for event, name in watched.followers.items():
                    if name is None or change.name is None or str(change.name) == name:
                        event.set()

    def _wake_all(self) -> None:
        """Wake all followers: the kernel's queue has overflowed, and events are lost."""
        for watched in self._watched.values():
            for event in watched.followers:
                event.set()
