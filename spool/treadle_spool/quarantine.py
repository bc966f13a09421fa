"""bad/: what was refused, beside the reason, for a person or a program to look at."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from treadle_spool import durable
from treadle_spool.errors import InvalidDescriptor, SpoolError
from treadle_spool.names import printable
from treadle_spool.status import now

MOST = 1000
"""Refused files that are kept; the oldest go first."""
SLACK = 100
"""Further ones that may be there until the oldest go."""
_LONGEST = 200
_REASON = ".reason.json"


class Quarantine:
    """The folder for refused files; anybody may empty it."""

    def __init__(self, folder: Path, new_draft: Callable[[], Path]) -> None:
        """Keep refused files in folder; new_draft gives a path for a file that is not yet whole."""
        self._folder = folder
        self._new_draft = new_draft
        self._kept: int | None = None

    def take(self, path: Path, error: SpoolError) -> Path:
        """Move a file here, with its reason, and return where it is now.

        The reason is durable before the file leaves its place.
        """
        kept = self._place(path.name)
        reason: dict[str, Any] = {
            "name": printable(path.name),
            "code": error.code,
            "detail": printable(str(error)),
            "refused": now(),
        }
        if isinstance(error, InvalidDescriptor):
            reason["path"] = printable(error.path)
        draft = self._new_draft()
        durable.write(draft, orjson.dumps(reason, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
        draft.rename(_reason(kept))  # whoever looks at bad/ sees a whole reason
        try:
            durable.sync_folder(self._folder)
            _move(path, kept)
        except OSError:
            _reason(kept).unlink(missing_ok=True)
            raise
        self._make_room()
        return kept

    def expire(self, before: float) -> None:
        """Remove what was refused before a moment, in seconds since 1970."""
        for entry in self._reasons():
            if entry.stat().st_mtime < before:
                _remove_both(Path(entry))

    def _reasons(self) -> list[os.DirEntry[str]]:
        with os.scandir(self._folder) as entries:
            return [entry for entry in entries if entry.name.endswith(_REASON)]

    def _place(self, name: str) -> Path:
        """Return a free place for a file of that name; a very long one is shortened, and told by a digest."""
        raw = os.fsencode(name)
        if len(raw) > _LONGEST:
            digest = hashlib.sha256(raw).hexdigest()[:12]
            name = os.fsdecode(raw[: _LONGEST - 13]) + "~" + digest
        place, number = self._folder / name, 1
        while os.path.lexists(place) or os.path.lexists(_reason(place)):
            number += 1
            place = self._folder / f"{name}.{number}"
        return place

    def _make_room(self) -> None:
        """Remove the oldest once there are too many; the folder is listed only then, and at the start."""
        if self._kept is not None and self._kept < MOST + SLACK:
            self._kept += 1
            return
        reasons = self._reasons()
        if len(reasons) > MOST + SLACK:
            reasons.sort(key=lambda entry: entry.stat().st_mtime_ns)
            for entry in reasons[:-MOST]:
                _remove_both(Path(entry))
        self._kept = min(len(reasons), MOST)


def _reason(kept: Path) -> Path:
    return kept.with_name(kept.name + _REASON)


def _move(path: Path, kept: Path) -> None:
    """Move without a rename where that is possible: a rename out of a watched folder holds up its watcher."""
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError:  # a folder, or a file that this user may not link
        with suppress(FileNotFoundError):
            path.rename(kept)
    else:
        path.unlink(missing_ok=True)


def _remove_both(reason: Path) -> None:
    """Remove a refused file and its reason."""
    _remove(reason.with_name(reason.name.removesuffix(_REASON)))
    reason.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    """Remove a file, or a folder and what is in it, without following links."""
    if path.is_dir() and not path.is_symlink():
        for entry in list(path.iterdir()):
            _remove(entry)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
