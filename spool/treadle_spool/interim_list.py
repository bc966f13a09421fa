"""The interim results of a job as one JSON list, in pieces: the list may be far larger than memory.

interim.jsonl has a value in each line. So a list is the file with commas in place of line feeds, and its
length is known before it is read. Lines that are added later do not count, nor does an incomplete last line.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from treadle_spool.folder import INTERIM
from treadle_spool.outputs import open_output
from treadle_spool.spool import Spool
from treadle_spool.untrusted import UntrustedFile

_PIECE = 256 * 1024
"""Bytes that are read at a time."""


class InterimList:
    """The interim results that a job has at one moment; a `with` block closes the file.

    It stays readable when the job's folder is renamed or removed. All of it blocks on the disk.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._end = 0 if fd is None else self._line_feed_before(os.fstat(fd).st_size) + 1

    @classmethod
    def open(cls, spool: Spool, name: str, longest: float = math.inf) -> Self:
        """Return the interim results of a job so far; none if there is no regular file.

        A file of more than longest bytes is not the one that the engine has written. A second try is for a
        folder that moves to done/.
        """
        for _ in range(2):
            with suppress(FileNotFoundError, UntrustedFile):
                return cls(open_output(spool.folder(name) / INTERIM, longest))
        return cls(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)

    @property
    def length(self) -> int:
        """The length of the list as JSON, in bytes."""
        return self._end + 1 if self._end else len(b"[]")

    def pieces(self) -> Iterator[bytes]:
        """Yield the list as JSON."""
        if not self._end:
            yield b"[]"
            return
        yield b"["
        for piece in self._read(0, self._end - 1):
            yield piece.replace(b"\n", b",")
        yield b"]"

    def last(self) -> tuple[int, Iterator[bytes]] | None:
        """Return the length of the newest value and its pieces; None if there is no value."""
        if not self._end:
            return None
        start = self._line_feed_before(self._end - 1) + 1
        return self._end - 1 - start, self._read(start, self._end - 1)

    def _line_feed_before(self, end: int) -> int:
        """Return the offset of the last line feed before an offset; -1 if there is none."""
        while end > 0:
            start = max(0, end - _PIECE)
            if (found := self._at(start, end - start).rfind(b"\n")) >= 0:
                return start + found
            end = start
        return -1

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = self._at(start, min(_PIECE, end - start))
            if not piece:
                raise OSError(f"{INTERIM} has become shorter")
            yield piece
            start += len(piece)

    def _at(self, start: int, size: int) -> bytes:
        assert self._fd is not None
        return os.pread(self._fd, size, start)
