"""Lines of a program's output, cut from chunks of bytes for the output parser."""

from __future__ import annotations

import io
from collections.abc import Iterator

from treadle.interface.parser import Found, Malformed, OutputParser

LONGEST_LINE = 64 * 1024
"""Bytes of a line that every parser gets; more of it only if the parser wants it whole."""


class LineSplitter:
    """Cuts chunks of bytes into lines for a parser, with bounded memory.

    A line that is longer than LONGEST_LINE is cut to its head and the rest of it skipped, unless the
    parser wants it whole; then it may have `limit` bytes.
    """

    def __init__(self, parser: OutputParser, limit: int) -> None:
        self._parser = parser
        self._limit = limit
        self._line = io.BytesIO()
        """The line that is not complete yet: one object that grows, and is not copied at its end."""
        self._length = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Found | None]:
        """Take the next bytes and yield what the parser finds in the lines they complete.

        None is yielded after each line, so that the caller can leave the rest for later.
        """
        start, whole = 0, chunk.rfind(b"\n") + 1
        while start < whole:
            is_begun = self._length or self._skipping
            if not is_begun and (start := self._parser.skip(chunk, start, whole)) == whole:
                break
            end = chunk.index(b"\n", start)
            if is_begun:
                yield from self._add(chunk[start:end])
                yield from self._end_line()
            elif end - start <= LONGEST_LINE:
                yield from self._parser.feed(chunk[start:end])
            else:
                yield from self._add(chunk[start:end])
                yield from self._end_line()
            yield None
            start = end + 1
        if start < len(chunk):
            yield from self._add(chunk[start:])

    def held(self) -> int:
        """Return how many bytes of a line are kept that is not complete yet."""
        return self._length

    def finish(self) -> Iterator[Found]:
        """Yield what the end of the output completes, perhaps within a line."""
        if self._length or self._skipping:
            yield from self._end_line()
        yield from self._parser.finish()

    def _add(self, piece: bytes) -> Iterator[Found]:
        if self._skipping:
            return
        before = self._length
        self._length += self._line.write(piece)
        if before <= LONGEST_LINE < self._length and not self._parser.wants_whole(self._head()):
            self._length, self._skipping = self._line.truncate(LONGEST_LINE), True
        if self._length > self._limit:
            self._line, self._length, self._skipping = io.BytesIO(), 0, True
            yield Malformed(
                f"a line of the output is larger than the {self._limit} bytes that a result may have"
            )

    def _head(self) -> bytes:
        with self._line.getbuffer() as line:
            return bytes(line[:LONGEST_LINE])

    def _end_line(self) -> Iterator[Found]:
        line = self._line.getvalue()
        self._line, self._length, self._skipping = io.BytesIO(), 0, False
        yield from self._parser.feed(line)
