"""A program's output: read while it grows, and given to the output parser line by line (lines.py).

A program may print anything: 20 MB of empty lines, ten million interim results. How long bytes take to parse
depends on the lines in them, and on the parser. So output is read by slices of time, and not of bytes: after
SLICE seconds a reader stops, between two lines or two findings, and goes on from there when it is asked again
(following.py). One line is given to the parser in one call, which can't be interrupted. Where that call may
take long, since a large line or block is about to be complete, the slice is to be read in a thread: what
takes the time there is a check by another process (json_text.py), or the copy of many bytes.

Dropped: to parse so many bytes at a time; and to parse all in a thread, which holds the interpreter as well.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from treadle.dispatch.lines import LineSplitter
from treadle.interface.parser import Found, Malformed, OutputParser, Result, check_found
from treadle_spool.outputs import GrowingFile, open_output
from treadle_spool.untrusted import UntrustedFile

log = logging.getLogger(__name__)

SLICE = 0.001
"""Seconds for which output is parsed at once; then other tasks of the event loop have their turn."""
_CHUNK = 256 * 1024
"""Bytes that are read at once."""
_MUCH = 256 * 1024
"""Bytes that are kept of a line or a block; the call that completes one with more of them may take long."""
_MOST_NOTES = 20


class OutputReader:
    """Reads one attempt's growing standard output, from its start, and yields what the parser finds.

    Something else in the place of the file, or more in it than the runtime keeps, is the program's own doing:
    it is Malformed, and nothing more is read.
    """

    def __init__(self, path: Path, parser: OutputParser, max_result: int, longest: float = math.inf) -> None:
        """Read at most longest bytes."""
        self.at_end = True
        """Whether the last call of `read` has come to the end that the output had then."""
        self._parser = parser
        self._splitter = LineSplitter(parser, max_result)
        self._file = GrowingFile(lambda: path, longest)
        self.longest = longest
        self._steps: Iterator[Found | None] = iter(())
        """The parsing of what has been read last, as far as it is not done yet."""
        self._over = False
        """Whether no more is read from the file."""
        self._has_collected = False
        """Whether the parser has kept much of earlier lines."""
        self._failed = False

    def read(self) -> Iterator[Found]:
        """Go on to the end of the output for SLICE seconds, and yield the findings.

        It stops early where `is_slow` changes. The iteration may be left at any moment. The next one goes on
        from there.
        """
        self.at_end = False
        slow = self.is_slow()
        end = time.perf_counter() + SLICE
        while time.perf_counter() < end:
            for found in self._steps:
                if found is not None:
                    yield found
                break
            else:
                if self.is_slow() is not slow:
                    return
                if not self._read_chunk():
                    self.at_end = True
                    return

    def is_slow(self) -> bool:
        """Return whether the next slice may take long: it is to be read in a thread."""
        return self._has_collected or self._splitter.held() > _MUCH

    def finish(self) -> None:
        """Have `read` yield what the end of the output completes; called when it has come to the end."""
        self._over = True
        self._steps = self._guard(self._splitter.finish())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_chunk(self) -> bool:
        """Read the next bytes; return False if there are none."""
        if self._over:
            return False
        try:
            chunk = self._file.read(_CHUNK)
        except UntrustedFile as error:
            self._over = True
            self._steps = iter((Malformed(f"the output can't be read, since {error.strerror}"),))
            return True
        self._steps = self._guard(self._splitter.feed(chunk))
        return bool(chunk)

    def _guard(self, findings: Iterator[Found | None]) -> Iterator[Found | None]:
        """Pass the findings on; a parser that raises is not fed any more."""
        if self._failed:
            return
        try:
            for found in findings:
                if found is not None:
                    check_found(found)
                yield found
            self._has_collected = self._parser.collected() > _MUCH
        except Exception as error:  # a plugin's code may raise anything
            self._failed, self._has_collected = True, False
            log.exception("output parser %s failed", self._parser.name)
            yield Malformed(f"output parser {self._parser.name} failed: {error}")


def tail(path: Path, limit: int) -> str:
    """Return the end of a text file, at most limit bytes of it, from the start of a line where it can.

    Where there is no file, or something else in its place, that is "".
    """
    try:
        with os.fdopen(open_output(path), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit)
    except (FileNotFoundError, UntrustedFile):
        return ""
    if size > limit and b"\n" in text[:-1]:
        text = text[text.index(b"\n") + 1 :]
    return text.decode(errors="replace").strip()


@dataclass(slots=True)
class Findings:
    """What an output parser found in an attempt's output."""

    result: bytes | None = None
    malformed: str | None = None
    """The first text that was meant to be the result and is not valid."""
    notes: list[str] | None = None

    def note(self, found: Result | Malformed) -> None:
        """Add a finding; the first of each kind counts."""
        if isinstance(found, Result):
            self.result = found.value if self.result is None else self.result
        elif found.interim:
            self.notes = [*(self.notes or []), found.detail][:_MOST_NOTES]
        else:
            self.malformed = self.malformed or found.detail
