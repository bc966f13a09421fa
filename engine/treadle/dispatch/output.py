"""A program's output: read while it grows, and given to the output parser line by line (lines.py)."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from treadle.dispatch.lines import LineSplitter
from treadle.interface.attempt import Attempt
from treadle.interface.parser import Found, Interim, Malformed, OutputParser, Result, check_found
from treadle.watch.changes import Changes
from treadle_spool.outputs import GrowingFile, InterimFile, open_output
from treadle_spool.untrusted import UntrustedFile, is_misplaced

log = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_BURST = 16 * _CHUNK
"""Bytes that are read at once; then other tasks of the event loop have their turn."""
_FOLLOW_DELAY = 0.02
"""Seconds after which output is followed as it grows; an attempt that is over before needs no watch."""
_MOST_NOTES = 20


class OutputReader:
    """Reads one attempt's growing standard output, from its start, and yields what the parser finds.

    Something else in the place of the file, or more in it than the runtime keeps, is the program's own doing:
    it is Malformed, and nothing more is read.
    """

    def __init__(self, path: Path, parser: OutputParser, max_result: int, longest: float = math.inf) -> None:
        """Read at most longest bytes."""
        self.at_end = True
        """Whether the last read_new reached the end that the file had then."""
        self._parser = parser
        self._splitter = LineSplitter(parser, max_result)
        self._file = GrowingFile(lambda: path, longest)
        self.longest = longest
        self._unreadable = False
        self._failed = False

    def read_new(self) -> list[Found]:
        """Read what has been appended since, or the first part of it, and return the findings."""
        found: list[Found] = []
        left = _BURST
        try:
            while left > 0 and (chunk := self._read()):
                left -= len(chunk)
                found += self._guard(self._splitter.feed(chunk))
        except UntrustedFile as error:
            self._unreadable = True
            found.append(Malformed(f"the output can't be read, since {error.strerror}"))
        self.at_end = left > 0
        return found

    def _read(self) -> bytes:
        return b"" if self._unreadable else self._file.read(_CHUNK)

    def finish(self) -> list[Found]:
        """Return the findings that the end of the output completes; called after the last read_new."""
        return list(self._guard(self._splitter.finish()))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _guard(self, findings: Iterator[Found]) -> Iterator[Found]:
        """Pass the findings on; a parser that raises is not fed any more."""
        if self._failed:
            return
        try:
            for found in findings:
                check_found(found)
                yield found
        except Exception as error:  # a plugin's code may raise anything
            self._failed = True
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


class OutputFollower:
    """Follows one attempt's standard output as it grows, and sorts the findings; interim results have a file.

    Made for each run of an attempt; used in the event loop. A fault while it follows (a disk error, say) is
    kept until `read_rest` or `raise_fault` raises it.
    """

    def __init__(
        self, attempt: Attempt, reader: OutputReader, changes: Changes, on_interim: Callable[[bytes], None]
    ) -> None:
        self.findings = Findings()
        self._attempt = attempt
        self._reader = reader
        self._changes = changes
        self._interim = InterimFile(attempt.folder, on_interim, reader.longest)
        self._fault: Exception | None = None
        self._delay: asyncio.TimerHandle | None = None
        self._following: asyncio.Task[None] | None = None

    def follow(self, on_fault: Callable[[], None]) -> None:
        """Begin to follow the output in a moment; call on_fault if that fails later."""
        self._delay = asyncio.get_running_loop().call_later(_FOLLOW_DELAY, self._begin, on_fault)

    def raise_fault(self) -> None:
        """Raise the exception that ended the following, if there is one."""
        if self._fault is not None:
            raise self._fault

    async def read_rest(self) -> None:
        """Read to the end of the output; the attempt is over."""
        await self._end_following()
        self.raise_fault()
        await self._take(self._reader.read_new())
        while not self._reader.at_end:
            await asyncio.sleep(0)
            await self._take(self._reader.read_new())
        await self._take(self._reader.finish())

    async def close(self) -> None:
        """Stop following and close the files."""
        await self._end_following()
        self._reader.close()
        self._interim.close()

    def _begin(self, on_fault: Callable[[], None]) -> None:
        self._following = asyncio.create_task(self._follow(on_fault))

    async def _follow(self, on_fault: Callable[[], None]) -> None:
        """Read the output as it grows, without end; if its folder can't be watched, it is read at the end."""
        try:
            with self._changes.inside(self._attempt.folder, self._attempt.stdout.name) as grown:
                while True:
                    await self._take(self._reader.read_new())
                    if self._reader.at_end:
                        await grown.wait()
                        grown.clear()
                    else:
                        await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001  # it is raised where the attempt is awaited
            if isinstance(error, OSError) and is_misplaced(error):
                log.warning("the output of job %s can't be followed: %s", self._attempt.job.id, error)
                return
            self._fault = error
            on_fault()

    async def _end_following(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _take(self, findings: Iterable[Found]) -> None:
        for found in findings:
            if isinstance(found, Interim):
                if self._interim.size() > _BURST:
                    await asyncio.to_thread(self._interim.open)
                self._interim.add(found.value)
            else:
                self.findings.note(found)
