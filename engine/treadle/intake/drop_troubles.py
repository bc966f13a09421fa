"""The troubles of the drop folder's intake: what health tells of them, and what is logged only once."""

from __future__ import annotations

import logging
from collections.abc import Collection

log = logging.getLogger(__name__)


class Troubles:
    """What keeps dropped files from being taken now; lives as long as the intake, in the event loop."""

    def __init__(self) -> None:
        self.unlisted: str | None = None
        """Why drop/ can't be listed."""
        self._waits: Exception | None = None
        self._failing: dict[str, str] = {}
        self._left: dict[str, str] = {}

    def problems(self) -> list[str]:
        """Return why dropped files wait, in sentences: nobody takes them now."""
        problems = []
        if self.unlisted:
            problems.append(f"the drop folder can't be listed: {self.unlisted}")
        if self._waits is not None:
            problems.append(f"what is dropped has to wait: {self._waits}")
        return problems

    def notes(self) -> list[str]:
        """Return what is wrong with single entries, in sentences; the others are taken."""
        notes = []
        if self._left:
            notes.append(
                f"{_some(self._left)} in the drop folder can't be moved away, and did not run twice: "
                "remove them, or give the engine the right to"
            )
        if self._failing:
            notes.append(
                f"{_some(self._failing)} in the drop folder can't be taken now, and will be tried again"
            )
        return notes

    def wait(self, error: Exception) -> None:
        """Take note that there is no room for a job; logged when it begins."""
        if type(error) is not type(self._waits):
            log.warning("what was dropped has to wait: %s", error)
        self._waits = error

    def go_on(self) -> None:
        """Take note that there is room again."""
        if self._waits is not None:
            log.info("what was dropped is taken again")
        self._waits = None

    def failed(self, entry: str, error: Exception) -> None:
        """Take note that an entry can't be dealt with now; logged once for each reason."""
        reason = str(error) or type(error).__name__
        if self._failing.get(entry) != reason:
            log.error("%r in the drop folder can't be taken: %s; it is tried again", entry, reason)
        self._failing[entry] = reason

    def done(self, entry: str, stays: str | None) -> None:
        """Take note that an entry was dealt with, and why it stays where it is, if it does; logged once."""
        self._failing.pop(entry, None)
        if stays is None:
            self._left.pop(entry, None)
        elif entry not in self._left:
            log.warning(
                "%r can't be moved out of the drop folder: %s; it is left there, and does not run again",
                entry,
                stays,
            )
            self._left[entry] = stays

    def keep(self, entries: Collection[str]) -> None:
        """Forget all but these entries."""
        present = set(entries)
        for known in (self._failing, self._left):
            for entry in known.keys() - present:
                del known[entry]


def _some(entries: dict[str, str]) -> str:
    """Return how many entries there are, with the first one and its reason."""
    entry, reason = next(iter(entries.items()))
    number = f"{len(entries)} entries, such as" if len(entries) > 1 else "the entry"
    return f"{number} {entry!r} ({reason})"
