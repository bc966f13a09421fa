"""The output of a job: its interim results and its logs, which are read while they grow.

Nothing in these files is synced, and a writer may be killed at any byte. An interim result counts once its
line has a line feed; the next writer cuts an incomplete last line off. A log holds any bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from treadle_spool.folder import INTERIM
from treadle_spool.spool import Spool

_CHUNK = 256 * 1024
"""Bytes of a log that are read at a time."""
_LONGEST = 64 * 1024
"""Bytes of a line of a log in one piece; a longer line comes in several."""
_CONTINUATION = 0x80
"""The upper two bits of a continuation byte in UTF-8."""


def read_interim(folder: Path, start: int = 0, size: int = -1) -> list[bytes]:
    """Return interim results, without their line feeds, from an offset in bytes on.

    With size the file is read in parts of so many bytes, up to the first part that completes a line. Raises
    FileNotFoundError if there are none so far, or if the folder has been renamed meanwhile.
    """
    parts: list[bytes] = []
    with (folder / INTERIM).open("rb") as file:
        file.seek(start)
        while part := file.read(size):
            parts.append(part)
            if b"\n" in part:
                break
    return b"".join(parts).split(b"\n")[:-1]


def all_interim(spool: Spool, name: str) -> list[bytes]:
    """Return the interim results of a job so far; a second try is for a folder that moves to done/."""
    for _ in range(2):
        with suppress(FileNotFoundError):
            return read_interim(spool.folder(name))
    return []


class InterimFile:
    """The writer of interim.jsonl, for one run of an attempt.

    The writer is given all values from the start of the output. Values that an earlier engine has written
    are counted, and neither written nor told again.
    """

    def __init__(self, folder: Path, on_value: Callable[[bytes], None]) -> None:
        self._path = folder / INTERIM
        self._on_value = on_value
        self._known = 0
        """How many of the next values are in the file already."""
        self._file: IO[bytes] | None = None

    def add(self, value: bytes) -> None:
        """Write a value as a line, and call on_value with it, unless it is in the file already."""
        if self._file is None:
            self._file = self._open()
        if self._known:
            self._known -= 1
            return
        self._file.write(value.replace(b"\n", b" ") + b"\n")
        self._on_value(value)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> IO[bytes]:
        with suppress(FileNotFoundError):
            content = self._path.read_bytes()
            self._known = content.count(b"\n")
            if torn := len(content) - (content.rfind(b"\n") + 1):
                with self._path.open("r+b") as file:
                    file.truncate(len(content) - torn)
        return self._path.open("ab", buffering=0)


class GrowingFile:
    """A log that is read from its start while it grows; its reader need not wait until it is made.

    The file stays open, so it is read on when its folder is renamed.
    """

    def __init__(self, find: Callable[[], Path]) -> None:
        """Call find, which may raise FileNotFoundError, for the path, until there is a file."""
        self._find = find
        self._file: IO[bytes] | None = None

    def read(self, size: int = _CHUNK) -> bytes:
        """Return the next bytes, at most so many; b"" at the end that the file has now."""
        if self._file is None:
            try:
                self._file = self._find().open("rb", buffering=0)
            except FileNotFoundError:
                return b""
        return self._file.read(size)

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


def read_log(path: Path, start: int, *, ended: bool) -> Iterator[Piece]:
    """Yield the lines of one chunk of a log from an offset on.

    An incomplete line is left for later, unless it is long or the job has ended.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read(_CHUNK)
            at_end = ended and not file.read(1)
    except FileNotFoundError:
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
