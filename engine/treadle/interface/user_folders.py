"""The folders that a setting has by default: below the user's home (XDG), which not every user has."""

from __future__ import annotations

import os
from pathlib import Path

from treadle.interface.errors import SettingsError


def default_spool() -> Path:
    """Return the default path of the spool, below the user's state directory (XDG)."""
    return _user_folder("XDG_STATE_HOME", "~/.local/state") / "treadle" / "spool"


def has_default_spool() -> bool:
    """Return whether this user has a default spool; a variable that names a wrong folder is an error."""
    try:
        default_spool()
    except SettingsError:
        return bool(os.environ.get("XDG_STATE_HOME"))
    return True


def config_file() -> Path | None:
    """Return the default engine.toml: the user's, else the host's, else None; a user may have no home."""
    folders = [Path("/etc/treadle")]
    try:
        folders.insert(0, _user_folder("XDG_CONFIG_HOME", "~/.config") / "treadle")
    except SettingsError:
        if os.environ.get("XDG_CONFIG_HOME"):
            raise
    return next((path for folder in folders if _exists(path := folder / "engine.toml")), None)


def _user_folder(variable: str, default: str) -> Path:
    """Return the user's folder that a variable of XDG names; raise SettingsError if it is below no home."""
    value = os.environ.get(variable) or default
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        also = ", or name a spool" if variable == "XDG_STATE_HOME" else ""
        raise SettingsError(f"{value} is below an unknown home: set HOME or {variable}{also}") from error


def _exists(path: Path) -> bool:
    """Return whether there is a file; what this user may not look for is none of theirs."""
    try:
        return path.exists()
    except PermissionError:
        return False
