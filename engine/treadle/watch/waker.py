"""The way from watchdog's thread into the event loop."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileMovedEvent, FileSystemEvent, FileSystemEventHandler

Look = Callable[[str | None], None]
"""Called in the event loop, with the name of an entry that may be new, or None to look at all entries."""

_TOLD_AT_ONCE = 1000
"""Events that are passed on before the event loop does something else."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody wants to know of a folder."""

    folder: Path
    events: Sequence[type[FileSystemEvent]]
    look: Look
    known: Callable[[str], bool]
    """Called in watchdog's thread: whether an entry is known, so that look is not called for it."""


class Waker(FileSystemEventHandler):
    """The handler of events in watchdog's thread: it wakes the event loop, and does nothing else.

    Events that come before the loop has taken the last ones do not wake it again: so a flood costs little.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, watches: Sequence[Watch]) -> None:
        self._loop = loop
        self._watches = watches
        self._news: deque[tuple[Look, str]] = deque()
        self._woken = False

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take an event; called in watchdog's thread."""
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        name = os.fsdecode(path).rpartition("/")[2]
        for watch in self._watches:
            if type(event) in watch.events and not watch.known(name):
                self._news.append((watch.look, name))
        if self._news and not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """Call the looks, in the event loop."""
        self._woken = False  # first: what is appended from now on wakes the loop again
        for _ in range(min(len(self._news), _TOLD_AT_ONCE)):
            look, name = self._news.popleft()
            look(name)
        if self._news and not self._woken:
            self._woken = True
            self._loop.call_soon(self._tell)
