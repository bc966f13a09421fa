"""Files that grow: whoever follows one is woken by the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncinotify import Inotify, Mask


class Growth:
    """Watches any number of files through one inotify instance, from `async with` to its end."""

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._events: dict[int, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def of(self, path: Path) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the file has been written to; whoever waits for it clears it."""
        watch = self._inotify.add_watch(path, Mask.MODIFY)
        event = self._events[id(watch)] = asyncio.Event()
        try:
            yield event
        finally:
            del self._events[id(watch)]
            with suppress(OSError):  # the file is gone, and its watch with it
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
            if event := self._events.get(id(happened.watch)):
                event.set()
            elif happened.watch is None:
                self._wake_all()

    def _wake_all(self) -> None:
        """Let everybody look: the kernel's queue has overflowed."""
        for event in self._events.values():
            event.set()
