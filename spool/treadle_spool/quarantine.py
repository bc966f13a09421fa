"""The quarantine bad/: refused files, each with its reason, for people and programs.

To refuse a batch of files:

1. Write the reasons to drafts in tmp/, and sync all of them.
2. Rename each draft to bad/<name>.reason.json, without overwriting: this also reserves <name> in bad/.
3. fsync bad/, once for the batch.
4. Move each file to bad/<name>.

Invariant: a file is moved only after its reason is durable.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from treadle_spool import durable, removal
from treadle_spool.clock import now
from treadle_spool.errors import InvalidDescriptor, SpoolError
from treadle_spool.names import printable, shortened
from treadle_spool.renaming import rename_new

MOST = 1000
"""Refused files that are kept; the oldest are removed first."""
SLACK = 100
"""Further files that may exist before the oldest are removed."""
_MAX_NAME_BYTES = 200
_LARGEST_COPY = 64 * 1024 * 1024
"""Bytes of a file of another file system that is copied; a larger one stays where it is."""
REASON_SUFFIX = ".reason.json"

UNMOVABLE = frozenset({errno.EPERM, errno.EACCES, errno.EBUSY, errno.EROFS, errno.EXDEV})
"""The errors for which an entry can't be moved, now or later; after the others, another try may succeed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry to be refused."""

    path: Path | None
    """Where it is; None if it can't be moved, and only the reason is written."""
    name: str
    error: SpoolError


@dataclass(frozen=True, slots=True)
class Stuck:
    """The outcome for an entry that can't be moved to bad/, although its reason is there."""

    why: OSError
    target: Path
    """Where it would be; its reason is beside that path."""


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

        Raises OSError; then the file is where it was, and bad/ has no reason for it.
        """
        (moved,) = self.take_all([Refusal(path, path.name, error)])
        if isinstance(moved, Stuck):
            _reason_of(moved.target).unlink(missing_ok=True)
            raise moved.why
        if isinstance(moved, OSError):
            raise moved
        return moved

    def take_all(self, refusals: Sequence[Refusal]) -> list[Path | Stuck | OSError]:
        """Move several files to bad/, with one fsync of the folder for all.

        Returns for each its new path, or the error after which it is where it was: with its reason in bad/
        if it is Stuck, otherwise without. The path of a refusal without a path is that of a missing file.
        """
        targets: list[Path] = []
        try:
            self._write_reasons(refusals, targets)
            durable.sync_folder(self._folder)
        except OSError as error:
            for target in targets:
                _reason_of(target).unlink(missing_ok=True)
            return [error for _ in refusals]
        outcomes = [self._take(refusal, target) for refusal, target in zip(refusals, targets, strict=True)]
        self._remove_oldest(len(refusals))
        return outcomes

    def _take(self, refusal: Refusal, target: Path) -> Path | Stuck | OSError:
        try:
            if refusal.path is not None:
                self._move(refusal.path, target)
        except OSError as error:
            if error.errno in UNMOVABLE:
                return Stuck(error, target)
            _reason_of(target).unlink(missing_ok=True)
            return error
        return target

    def expire(self, before: float) -> None:
        """Remove the files that were refused before this time, in seconds since 1970."""
        for entry in self._reasons():
            with suppress(FileNotFoundError):
                if entry.stat().st_mtime < before:
                    _remove_both(Path(entry))

    def _write_reasons(self, refusals: Iterable[Refusal], targets: list[Path]) -> None:
        """Write the reasons, and append for each refusal the path that is reserved for its file."""
        drafts: list[Path] = []
        try:
            with durable.NewFiles() as files:
                for refusal in refusals:
                    drafts.append(self._new_draft())
                    files.make(drafts[-1], _reason(refusal))
                files.sync()
            for draft, refusal in zip(drafts, refusals, strict=True):
                targets.append(self._reserve(draft, refusal.name))
        except OSError:
            for draft in drafts:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)
            raise

    def _reserve(self, draft: Path, name: str) -> Path:
        """Move a reason to bad/ under an unused name; readers of bad/ see complete reasons only."""
        first = self._folder / shortened(name, _MAX_NAME_BYTES)
        number = 1
        while True:
            path = first if number == 1 else first.with_name(f"{first.name}.{number}")
            number += 1
            if path.name.endswith(REASON_SUFFIX) or os.path.lexists(path):
                continue  # what is refused must not pass for the reason of another file
            with suppress(FileExistsError):
                rename_new(str(draft), str(_reason_of(path)))
                return path

    def _move(self, path: Path, target: Path) -> None:
        """Move a file by link and unlink if possible: a rename out of a watched folder delays its watcher."""
        try:
            os.link(path, target, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError:  # a folder, or a file that this user may not link, or one of another file system
            try:
                path.rename(target)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy(path, target, error)
                path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)

    def _copy(self, path: Path, target: Path, error: OSError) -> None:
        """Copy a file or link of another file system to bad/; raise the error for anything else."""
        file = path.lstat()
        if stat.S_ISLNK(file.st_mode):
            target.symlink_to(path.readlink())
        elif stat.S_ISREG(file.st_mode) and file.st_size <= _LARGEST_COPY:
            draft = self._new_draft()
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as source:
                durable.write(draft, source.read(_LARGEST_COPY))
            draft.rename(target)
            durable.sync_folder(self._folder)
        else:
            raise error

    def _reasons(self) -> list[os.DirEntry[str]]:
        with os.scandir(self._folder) as entries:
            return [entry for entry in entries if entry.name.endswith(REASON_SUFFIX)]

    def _remove_oldest(self, more: int) -> None:
        """Remove the oldest files if there are too many; the folder is listed only then and at first."""
        if self._count is not None and self._count + more <= MOST + SLACK:
            self._count += more
            return
        reasons = self._reasons()
        if len(reasons) > MOST + SLACK:
            reasons.sort(key=lambda entry: entry.stat().st_mtime_ns)
            for entry in reasons[:-MOST]:
                _remove_both(Path(entry))
        self._count = min(len(reasons), MOST)


def _reason(refusal: Refusal) -> bytes:
    fields: dict[str, Any] = {
        "name": printable(refusal.name),
        "code": refusal.error.code,
        "detail": printable(str(refusal.error)),
        "refused": now(),
    }
    if isinstance(refusal.error, InvalidDescriptor):
        fields["path"] = printable(refusal.error.path)
    return orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


def _reason_of(path: Path) -> Path:
    return path.with_name(path.name + REASON_SUFFIX)


def _remove_both(reason: Path) -> None:
    """Remove a refused file and its reason; both stay for a later round if the file can't be removed."""
    with suppress(OSError):
        removal.remove(reason.with_name(reason.name.removesuffix(REASON_SUFFIX)))
        reason.unlink(missing_ok=True)
