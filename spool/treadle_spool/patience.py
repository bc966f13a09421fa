"""Patience: since when each entry of drop/ has been unchanged, as it was seen here.

Neither the times of a file nor the clock are trusted for it: a writer may set them, a clock may be set back,
and a file of another host has the times of that host.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection


class Patience:
    """The entries of drop/ that were seen and left, for as long as the engine runs; used in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[tuple[int, ...], float]] = {}

    def missing(self, entry: str, file: os.stat_result, seconds: float) -> float:
        """Return how many seconds are missing until the entry has been unchanged for `seconds`, or 0."""
        state = (file.st_dev, file.st_ino, file.st_mode, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
        now = time.monotonic()
        with self._lock:
            known, since = self._seen.get(entry, (None, now))
            if known != state:
                since = now
                self._seen[entry] = state, now
        return max(0.0, since + seconds - now)

    def forget(self, entry: str) -> None:
        """Forget an entry that is gone."""
        with self._lock:
            self._seen.pop(entry, None)

    def keep(self, entries: Collection[str]) -> None:
        """Forget all but these entries."""
        with self._lock:
            for entry in self._seen.keys() - set(entries):
                del self._seen[entry]
