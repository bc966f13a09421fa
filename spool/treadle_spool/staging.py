"""tmp/: what lies there under the pid of a dead process is removed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from treadle_spool.removal import remove_tree


def remove_abandoned(tmp: Path, older: float) -> None:
    """Remove from tmp/ what belongs to no live process and is unchanged for `older` seconds."""
    cutoff = time.time() - older
    for entry in list(os.scandir(tmp)):
        pid = entry.name.partition("-")[0]
        if pid.isdigit() and Path("/proc", pid).exists():
            continue
        with suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_mtime > cutoff:
                continue
            remove_tree(entry)
