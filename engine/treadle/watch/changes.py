"""Folders that change: whoever follows one is woken by the kernel when a file in it grows or appears."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncinotify import Inotify, Mask, Watch

_INSIDE = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.MOVE_SELF


class _Watched:
    """One watch of the kernel, and who follows it: each by an event, and perhaps for one name alone."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.followers: dict[asyncio.Event, str | None] = {}


class Changes:
    """Watches any number of folders through one inotify instance, from `async with` to its end."""

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._watched: dict[int, _Watched] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def inside(self, folder: Path, name: str | None = None) -> Iterator[asyncio.Event]:
        """Give an event that is set when a file of the folder grows or appears, or the folder is renamed.

        With a name, only what happens to that entry counts. Whoever waits for the event clears it.
        """
        watch = self._inotify.add_watch(folder, _INSIDE)  # the one there is, if somebody follows it already
        watched = self._watched.setdefault(id(watch), _Watched(watch))
        event = asyncio.Event()
        watched.followers[event] = name
        try:
            yield event
        finally:
            del watched.followers[event]
            if not watched.followers:
                del self._watched[id(watch)]
                with suppress(OSError):  # the folder is gone, and its watch with it
                    self._inotify.rm_watch(watch)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._pass_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._inotify.close()

    async def _pass_on(self) -> None:
        async for happened in self._inotify:
            if happened.watch is None:
                self._wake_all()
            elif watched := self._watched.get(id(happened.watch)):
                for event, name in watched.followers.items():
                    if name is None or happened.name is None or str(happened.name) == name:
                        event.set()

    def _wake_all(self) -> None:
        """Let everybody look: the kernel's queue has overflowed."""
        for watched in self._watched.values():
            for event in watched.followers:
                event.set()
