"""The quarantine bad/: refused files, each with its reason, for people and programs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from treadle_spool import durable
from treadle_spool.clock import now
from treadle_spool.errors import InvalidDescriptor, SpoolError
from treadle_spool.names import printable

MOST = 1000
"""Refused files that are kept; the oldest are removed first."""
SLACK = 100
"""Further files that may exist before the oldest are removed."""
_MAX_NAME_BYTES = 200
REASON_SUFFIX = ".reason.json"


class Quarantine:
    """The folder of refused files, for as long as its Spool lives. Any process may empty the folder."""

    def __init__(self, folder: Path, new_draft: Callable[[], Path]) -> None:
        """Take the folder, and new_draft, which returns an unused path in tmp/ for an incomplete file."""
        self._folder = folder
        self._new_draft = new_draft
        self._count: int | None = None
        """The number of refused files, estimated between two listings; None before the first listing."""

    def take(self, path: Path, error: SpoolError) -> Path:
        """Move a file to bad/, with the error as its reason, and return its new path.

        The reason is durable before the file is moved.
        """
        target = self._free_path(path.name)
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
        draft.rename(_reason_of(target))  # readers of bad/ see complete reasons only
        try:
            durable.sync_folder(self._folder)
            _move(path, target)
        except OSError:
            _reason_of(target).unlink(missing_ok=True)
            raise
        self._remove_oldest()
        return target

    def reason_of(self, name: str) -> Path:
        """Return the file with the reason for the refusal of the first file of this name."""
        return _reason_of(self._folder / name)

    def expire(self, before: float) -> None:
        """Remove the files that were refused before this time, in seconds since 1970."""
        for entry in self._reasons():
            if entry.stat().st_mtime < before:
                _remove_both(Path(entry))

    def _reasons(self) -> list[os.DirEntry[str]]:
        with os.scandir(self._folder) as entries:
            return [entry for entry in entries if entry.name.endswith(REASON_SUFFIX)]

    def _free_path(self, name: str) -> Path:
        """Return an unused path for a file of this name; a long name is shortened and gets a digest."""
        raw = os.fsencode(name)
        if len(raw) > _MAX_NAME_BYTES:
            digest = hashlib.sha256(raw).hexdigest()[:12]
            name = os.fsdecode(raw[: _MAX_NAME_BYTES - 13]) + "~" + digest
        path, number = self._folder / name, 1
        while os.path.lexists(path) or os.path.lexists(_reason_of(path)):
            number += 1
            path = self._folder / f"{name}.{number}"
        return path

    def _remove_oldest(self) -> None:
        """Remove the oldest files if there are too many; the folder is listed only then and at first."""
        if self._count is not None and self._count < MOST + SLACK:
            self._count += 1
            return
        reasons = self._reasons()
        if len(reasons) > MOST + SLACK:
            reasons.sort(key=lambda entry: entry.stat().st_mtime_ns)
            for entry in reasons[:-MOST]:
                _remove_both(Path(entry))
        self._count = min(len(reasons), MOST)


def _reason_of(path: Path) -> Path:
    return path.with_name(path.name + REASON_SUFFIX)


def _move(path: Path, target: Path) -> None:
    """Move a file by link and unlink if possible: a rename out of a watched folder delays its watcher."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:  # a folder, or a file that this user may not link
        with suppress(FileNotFoundError):
            path.rename(target)
    else:
        path.unlink(missing_ok=True)


def _remove_both(reason: Path) -> None:
    """Remove a refused file and its reason."""
    _remove(reason.with_name(reason.name.removesuffix(REASON_SUFFIX)))
    reason.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    """Remove a file, or a folder and its content, without following links."""
    if path.is_dir() and not path.is_symlink():
        for entry in list(path.iterdir()):
            _remove(entry)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
