"""The output of a job: its interim results and its logs, which are read while they grow.

Nothing in these files is synced, and a writer may be killed at any byte. An interim result counts once its
line has a line feed; the next writer cuts an incomplete last line off. A log holds any bytes.

The program may have put anything in the place of these files: they are opened as untrusted.py says.
"""

from __future__ import annotations

import errno
import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from treadle_spool.folder import INTERIM
from treadle_spool.identity import RUN
from treadle_spool.untrusted import UntrustedFile, open_untrusted, size_untrusted

log = logging.getLogger(__name__)

LARGEST_INTERIM = 256 * 1024 * 1024
"""Bytes of interim results of a job that are returned at once."""
_CHUNK = 256 * 1024
"""Bytes of a log that are read at a time."""
_LONGEST = 64 * 1024
"""Bytes of a line of a log in one piece; a longer line comes in several."""
_CONTINUATION = 0x80
"""The upper two bits of a continuation byte in UTF-8."""


def open_output(path: Path, longest: float = math.inf, flags: int = os.O_RDONLY) -> int:
    """Open a log or the interim results of a job; raises as `open_untrusted` does.

    A file of more than longest bytes is not the one that the runtime has written. In run/ a second name of
    the file is of the program's making. An ended job's files may have more names, of a backup for instance.
    """
    fd = open_untrusted(path, flags, alone=path.parent.parent.name == RUN)
    if longest < math.inf and os.fstat(fd).st_size > longest:
        os.close(fd)
        raise UntrustedFile(path, "is larger than the output that is kept")
    return fd


def read_interim(folder: Path, start: int = 0, size: int = -1) -> list[bytes]:
    """Return interim results, without their line feeds, from an offset in bytes on.

    With size the file is read in parts of so many bytes, up to the first part that completes a line; no more
    than LARGEST_INTERIM bytes are read at once. Raises FileNotFoundError if there are none so far, or if the
    folder has been renamed meanwhile, and UntrustedFile.
    """
    parts: list[bytes] = []
    with os.fdopen(open_output(folder / INTERIM), "rb") as file:
        file.seek(start)
        left = LARGEST_INTERIM
        while left > 0 and (part := file.read(left if size < 0 else min(size, left))):
            parts.append(part)
            left -= len(part)
            if b"\n" in part:
                return b"".join(parts).split(b"\n")[:-1]
    return []


class InterimFile:
    """The writer of interim.jsonl, for one run of an attempt.

    The writer is given all values from the start of the output. Values that an earlier engine has written
    are counted, and neither written nor told again. Where the program has put something else in the place of
    the file, that is removed; if it can't be, the values are told and not written.
    """

    def __init__(self, folder: Path, longest: float = math.inf) -> None:
        """Write in a job's folder; a file that has more than longest bytes is the program's."""
        self._path = folder / INTERIM
        self._longest = longest
        self._known = 0
        """How many of the next values are in the file already."""
        self._file: IO[bytes] | None = None
        self._opened = False

    def add(self, value: bytes) -> bool:
        """Write a value as a line, unless it is in the file already; return whether it is to be told."""
        self._open()
        if self._known:
            self._known -= 1
            return False
        if self._file is not None:
            line = value.replace(b"\n", b" "), b"\n"  # not added: that copies a large value
            if os.writev(self._file.fileno(), line) <= len(value):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        return True

    def size(self) -> int:
        """Return how many bytes the first `add` has to read: those that an earlier engine has written."""
        if self._opened:
            return 0
        with suppress(OSError):
            return size_untrusted(self._path)
        return 0

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        """Open the file, unless it is open, and count its values."""
        if self._opened:
            return
        try:
            self._file = self._open_file()
        except (FileNotFoundError, UntrustedFile) as error:
            log.warning("interim results of job %s can't be kept: %s", self._path.parent.name, error)
        self._opened = True

    def _open_file(self) -> IO[bytes]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            fd = open_output(self._path, self._longest, flags)
        except UntrustedFile:
            with suppress(OSError):
                self._path.unlink()
            fd = open_output(self._path, self._longest, flags)
        file = os.fdopen(fd, "r+b", buffering=0)
        try:
            self._count(file)
        except BaseException:
            file.close()
            raise
        return file

    def _count(self, file: IO[bytes]) -> None:
        """Count the complete lines that are in the file, and cut an incomplete one off."""
        known = whole = end = 0
        while chunk := file.read(_CHUNK):
            known += chunk.count(b"\n")
            if (last := chunk.rfind(b"\n")) >= 0:
                whole = end + last + 1
            end += len(chunk)
        if whole < end:
            file.truncate(whole)
        self._known = known


class GrowingFile:
    """A log that is read from its start while it grows; its reader need not wait until it is made.

    The file stays open, so it is read on when its folder is renamed.
    """

    def __init__(self, find: Callable[[], Path], longest: float = math.inf) -> None:
        """Call find, which may raise FileNotFoundError, for the path, until there is a file.

        A file that has more than longest bytes is not what the runtime has written.
        """
        self._find = find
        self._longest = longest
        self._file: IO[bytes] | None = None

    def read(self, size: int = _CHUNK) -> bytes:
        """Return the next bytes, at most so many; b"" at the end that the file has now.

        Raises UntrustedFile, also when the file has become too long, and OSError where the disk fails.
        """
        if self._file is None:
            try:
                self._file = os.fdopen(open_output(self._find(), self._longest), "rb", buffering=0)
            except FileNotFoundError:
                return b""
        chunk = self._file.read(size)
        if len(chunk) == size and os.fstat(self._file.fileno()).st_size > self._longest:
            raise UntrustedFile("its file", "is larger than the output that is kept")
        return chunk

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, slots=True)
class Piece:
    """A line of a log without its line feed, or a part of a long one."""

    text: bytes
    end: int
    """The offset of the next piece, in bytes."""
    whole: bool
    """Whether the line ends here."""


def read_log(path: Path, start: int, *, ended: bool, longest: float = math.inf) -> Iterator[Piece]:
    """Yield the lines of one chunk of a log from an offset on; nothing, where there is no file, or no log.

    An incomplete line is left for later, unless it is long or the job has ended.
    """
    try:
        with os.fdopen(open_output(path, longest), "rb") as file:
            file.seek(start)
            text = file.read(_CHUNK)
            at_end = ended and not file.read(1)
    except (FileNotFoundError, UntrustedFile):
        return
    lines = text.split(b"\n")
    rest = lines.pop()
    for line in lines:
        yield from _cut(line, start, whole=True)
        start += len(line) + 1
    if rest and (at_end or (len(text) == _CHUNK and not lines)):
        yield from _cut(rest, start, whole=at_end)


def _cut(line: bytes, start: int, *, whole: bool) -> Iterator[Piece]:
    """Yield a line in parts of limited length, cut between characters."""
    while len(line) > _LONGEST:
        length = _LONGEST
        while length > _LONGEST - 4 and line[length] & 0xC0 == _CONTINUATION:
            length -= 1
        yield Piece(line[:length], start + length, whole=False)
        line, start = line[length:], start + length
    yield Piece(line, start + len(line) + whole, whole)
