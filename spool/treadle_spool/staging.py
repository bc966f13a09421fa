"""tmp/: what lies there under the pid of a dead process is removed."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path


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
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry, ignore_errors=True)
            else:
                Path(entry).unlink()
