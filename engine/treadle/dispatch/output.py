"""A program's output: read while it grows, cut into lines, handed to the output parser."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from treadle.interface.parser import Found, Malformed, OutputParser

log = logging.getLogger(__name__)

LONGEST_LINE = 64 * 1024
"""Bytes of a line that every parser gets; more of it only if the parser wants it whole."""
_CHUNK = 256 * 1024
_BURST = 16 * _CHUNK
"""Bytes that are read in one go, so that an endless printer leaves others their turn."""


class LineSplitter:
    """Cuts chunks of bytes into lines for a parser, with bounded memory.

    A line that is longer than LONGEST_LINE is cut to its head and the rest of it skipped, unless the
    parser wants it whole; then it may have `limit` bytes.
    """

    def __init__(self, parser: OutputParser, limit: int) -> None:
        self._parser = parser
        self._limit = limit
        self._pieces: list[bytes] = []
        self._length = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Found]:
        """Take the next bytes and yield what the parser finds in the lines they complete."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if self._length or self._skipping:
                yield from self._add(chunk[start:end])
                yield from self._end_line()
            elif end - start <= LONGEST_LINE:
                yield from self._parser.feed(chunk[start:end])
            else:
                yield from self._add(chunk[start:end])
                yield from self._end_line()
            start = end + 1
        if start < len(chunk):
            yield from self._add(chunk[start:])

    def finish(self) -> Iterator[Found]:
        """Take note that the output has ended, perhaps within a line."""
        if self._length or self._skipping:
            yield from self._end_line()
        yield from self._parser.finish()

    def _add(self, piece: bytes) -> Iterator[Found]:
        if self._skipping:
            return
        before = self._length
        self._pieces.append(piece)
        self._length += len(piece)
        if before <= LONGEST_LINE < self._length:
            head = b"".join(self._pieces)[:LONGEST_LINE]
            if not self._parser.wants_whole(head):
                self._pieces, self._length, self._skipping = [head], LONGEST_LINE, True
        if self._length > self._limit:
            self._pieces, self._length, self._skipping = [], 0, True
            yield Malformed(
                f"a line of the output is larger than the {self._limit} bytes that a result may have"
            )

    def _end_line(self) -> Iterator[Found]:
        pieces, self._pieces, self._length, self._skipping = self._pieces, [], 0, False
        yield from self._parser.feed(b"".join(pieces))


class OutputReader:
    """Reads one attempt's growing standard output, from its start, and yields what the parser finds."""

    def __init__(self, path: Path, parser: OutputParser, max_result: int) -> None:
        self.at_end = True
        """Whether the last read_new has reached what was then the end of the file."""
        self._path = path
        self._parser = parser
        self._splitter = LineSplitter(parser, max_result)
        self._file: IO[bytes] | None = None
        self._failed = False

    def read_new(self) -> list[Found]:
        """Read what has come since, or a good part of it, and return what was found."""
        found: list[Found] = []
        if self._file is None and not self._open():
            return found
        assert self._file is not None
        left = _BURST
        while left > 0 and (chunk := self._file.read(_CHUNK)):
            left -= len(chunk)
            found += self._guard(self._splitter.feed(chunk))
        self.at_end = left > 0
        return found

    def finish(self) -> list[Found]:
        """Return what only the end of the output completes; it has been read to its end."""
        return list(self._guard(self._splitter.finish()))

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb", buffering=0)
        except FileNotFoundError:  # nothing has been printed
            return False
        return True

    def _guard(self, findings: Iterator[Found]) -> Iterator[Found]:
        """Pass the findings on; a parser that raises is not fed any more."""
        if self._failed:
            return
        try:
            yield from findings
        except Exception as error:  # a plugin's code may raise anything
            self._failed = True
            log.exception("output parser %s failed", self._parser.name)
            yield Malformed(f"output parser {self._parser.name} failed: {error}")


def tail(path: Path, limit: int) -> str:
    """Return the end of a text file, at most limit bytes of it, from the start of a line where it can."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read()
    except FileNotFoundError:
        return ""
    if size > limit and b"\n" in text[:-1]:
        text = text[text.index(b"\n") + 1 :]
    return text.decode(errors="replace").strip()
