"""Lines of a program's output, cut from chunks of bytes for the output parser."""

from __future__ import annotations

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
        self._pieces: list[bytes] = []
        self._length = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Found | None]:
        """Take the next bytes and yield what the parser finds in the lines they complete.

        None is yielded after each line, so that the caller can leave the rest for later.
        """
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
            yield None
            start = end + 1
        if start < len(chunk):
            yield from self._add(chunk[start:])

    def finish(self) -> Iterator[Found]:
        """Yield what the end of the output completes, perhaps within a line."""
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
