"""Changes: folders whose files grow, watched through one inotify instance.

watchdog can't do this: it starts a thread for each folder, and a folder here lives as long as one attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

from treadle.support.lifetime import Lifetime, background

_INSIDE = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.MOVE_SELF | Mask.ONLYDIR | Mask.DONT_FOLLOW


class _Watched:
    """One watch of the kernel, and its followers: an event each, with the one name it follows, or None."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.followers: dict[asyncio.Event, str | None] = {}


class Changes(Lifetime):
    """Watches any number of folders, from `async with` to its end; used in the event loop."""

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._watched: dict[int, _Watched] = {}

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
        watch = self._inotify.add_watch(folder, _INSIDE)  # the same one for a watched folder
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
                    self._inotify.rm_watch(watch)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        try:
            async with background(self._pass_on()):
                yield
        finally:
            self._inotify.close()

    async def _pass_on(self) -> None:
        async for change in self._inotify:
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
