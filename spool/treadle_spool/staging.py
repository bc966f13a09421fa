"""tmp/: what lies there under the pid of a dead process is removed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from treadle_spool.clock import uptime
from treadle_spool.removal import remove_tree


class Abandoned:
    """The entries of tmp/ that belong to no process that this one sees; as old as a spool's owner.

    An entry may be that of a process in another container. So a running engine removes it only when it has
    stayed the same for a while, from one look to a later one: an mtime alone would be compared with a time of
    day that may have been set meanwhile.
    """

    def __init__(self, tmp: Path) -> None:
        self._tmp = tmp
        self._seen: dict[str, tuple[int, float]] = {}
        """By name: the mtime that an entry had, and since when, by uptime()."""

    def remove(self, older: float) -> None:
        """Remove what is known to be unchanged for `older` seconds; with 0, all of it."""
        seen, self._seen = self._seen, {}
        for entry in list(os.scandir(self._tmp)):
            pid = entry.name.partition("-")[0]
            if pid.isdigit() and Path("/proc", pid).exists():
                continue
            with suppress(FileNotFoundError):
                mtime, moment = entry.stat(follow_symlinks=False).st_mtime_ns, uptime()
                before, since = seen.get(entry.name, (mtime, moment))
                since = since if mtime == before else moment
                if moment - since >= older:
                    remove_tree(entry)
                else:
                    self._seen[entry.name] = mtime, since
