"""What was dealt with, and can't be moved out of drop/: remembered in left.jsonl, so it never runs twice.

Each line of the file is one entry, by the identity of its file: inode, modification time, size. Of a folder
only the inode counts, or each file that is put into it would have it refused once more. A line is
durable before the entry counts as dealt with. At the start, the lines of entries that are gone are removed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from treadle_spool import durable
from treadle_spool.descriptor import Origin
from treadle_spool.names import printable

LEFT = "left.jsonl"


class _Line(msgspec.Struct, frozen=True):
    """One entry; `name` and `reason` are for people."""

    name: str
    reason: str
    origin: Origin


class Left:
    """The memory of one engine, read from the spool's folder at its start. Any thread may use it."""

    def __init__(self, root: Path, present: Iterable[os.stat_result]) -> None:
        """Read left.jsonl in root, and forget the entries that are not present in drop/ any more."""
        self._path = root / LEFT
        self._reasons: dict[Origin, str] = {}
        lines = list(self._read())
        if not lines:
            return
        origins = {origin_of(file) for file in present}
        kept = [line for line in lines if line.origin in origins]
        self._reasons = {line.origin: line.reason for line in kept}
        if len(kept) < len(lines):
            with suppress(OSError):  # a disk without room: the lines are removed by a later start
                self._replace(kept)

    def reason(self, file: os.stat_result) -> str | None:
        """Return why an entry could not be moved away, or None if it is not remembered."""
        return self._reasons.get(origin_of(file)) if self._reasons else None

    def add(self, name: str, origin: Origin, reason: str) -> None:
        """Remember an entry; when this returns, it is remembered after a power cut as well."""
        line = msgspec.json.encode(_Line(printable(name), printable(reason), origin))
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            durable.write_all(fd, b"\n" + line + b"\n")  # the line before may have been cut off
            os.fsync(fd)
        finally:
            os.close(fd)
        if not self._reasons:
            durable.sync_folder(self._path.parent)
        self._reasons[origin] = reason

    def _read(self) -> Iterable[_Line]:
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        for line in content.splitlines():
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # cut off by a crash
                yield msgspec.json.decode(line, type=_Line)

    def _replace(self, lines: Iterable[_Line]) -> None:
        draft = self._path.parent / "tmp" / f"{os.getpid()}-{LEFT}"
        draft.unlink(missing_ok=True)
        durable.write(draft, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        draft.rename(self._path)
        durable.sync_folder(self._path.parent)


def origin_of(file: os.stat_result) -> Origin:
    """Return the identity of a file: the same after a restart, and after a rename.

    That of a folder is the same whatever is put into it.
    """
    if stat.S_ISDIR(file.st_mode):
        return Origin(file.st_ino, 0, 0)
    return Origin(file.st_ino, file.st_mtime_ns, file.st_size)
