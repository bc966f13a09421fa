"""The values of settings that are paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from treadle.support.typed import Place


def absolute(value: Any) -> Any:
    """Return a path, or each of a tuple, as an absolute one; any other value as it is."""
    if isinstance(value, tuple):
        return tuple(map(absolute, value))
    return value.absolute() if isinstance(value, Path) else value


def check_folder(key: str, folder: Path | None, place: Place) -> None:
    """Raise the place's error unless the folder can be listed."""
    if folder is None:
        return
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except OSError as error:
        raise place.fault(f"{key}: there is no folder {folder} ({error.strerror})", key) from error
    if not is_folder:
        raise place.fault(f"{key}: {folder} is not a folder", key)
    if not os.access(folder, os.R_OK | os.X_OK):
        raise place.fault(f"{key}: {folder} can't be read: its permissions do not allow it", key)
