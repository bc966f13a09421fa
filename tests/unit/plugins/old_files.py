"""Files that were changed long ago, as those of a settled project."""

from __future__ import annotations

import os
import time
from pathlib import Path

_AGE = 10.0
"""Seconds since the last change of a settled file."""


def grow_old(path: Path) -> None:
    """Set the mtime of a file, or of a folder and everything below it, into the past."""
    changed = time.time() - _AGE
    for each in (path, *path.rglob("*")):
        os.utime(each, (changed, changed))
