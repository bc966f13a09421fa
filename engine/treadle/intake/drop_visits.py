"""The visits to the entries of drop/: each is in one lane at most, and is looked at again when it must be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Visits:
    """Which entries are being dealt with, and which are to be looked at later; used in the event loop."""

    def __init__(self, look: Callable[[str], None]) -> None:
        """Call `look` for each entry that is to be looked at now."""
        self._look = look
        self._busy: dict[str, bool] = {}
        """The entries in a lane, and whether something has happened to them meanwhile."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, entry: str) -> bool:
        """Return whether an entry is being dealt with, or will be looked at later."""
        return entry in self._busy or entry in self._timers

    def want(self, entry: str) -> None:
        """Look at an entry now, or when it leaves its lane."""
        if timer := self._timers.pop(entry, None):
            timer.cancel()
        if entry in self._busy:
            self._busy[entry] = True
        else:
            self._busy[entry] = False
            self._look(entry)

    def done(self, entry: str, again: float | None = None) -> None:
        """Let an entry leave its lane; look at it again after some seconds, or if something has happened."""
        if self._busy.pop(entry, False):
            self.want(entry)
        elif again is not None:
            self._timers[entry] = asyncio.get_running_loop().call_later(again, self.want, entry)

    def want_all(self) -> None:
        """Look now at all entries that would be looked at later."""
        for entry in list(self._timers):
            self.want(entry)

    def stop(self) -> None:
        """Look at nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
