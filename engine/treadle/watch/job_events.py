"""The events of one job as a sequence: status changes, interim results and log lines.

All of it is read from the job's files. So every process that serves the spool yields the same events, and a
listener that reconnects continues at the position that its last event's id holds.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import orjson

from treadle.watch.changes import Changes
from treadle_spool import Spool, State, Status
from treadle_spool.folder import LOGS
from treadle_spool.outputs import read_interim, read_log
from treadle_spool.untrusted import UntrustedFile

_CHUNK = 256 * 1024
"""Bytes of interim results that are read at a time."""
_NO_FOLDER = (FileNotFoundError, NotADirectoryError, PermissionError)
"""The job has no folder yet, it is being renamed, or its program has replaced it."""
_BATCH = 1000
"""Events that are in memory at a time: a log of blank lines has one for each byte."""
_POSITION = re.compile(r"(\d{1,9})-(\d{1,18})-(\d{1,18})-(\d{1,18})-([A-Z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a listener: the attempt, the offsets in its files in bytes, and the last state."""

    attempt: int = 0
    interim: int = 0
    stdout: int = 0
    stderr: int = 0
    state: State = State.UNKNOWN

    @classmethod
    def parse(cls, text: str) -> Position:
        """Parse the string form of a position; raise ValueError for anything else."""
        if (match := _POSITION.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is not the id of an event")
        attempt, interim, stdout, stderr = (int(part) for part in match.groups()[:4])
        return cls(attempt, interim, stdout, stderr, State(match[5]))

    def with_log(self, stream: str, end: int) -> Position:
        """Return the position with another offset in a log."""
        return replace(self, stdout=end) if stream == "stdout" else replace(self, stderr=end)

    def __str__(self) -> str:
        """Return the id of the event that ends at this position."""
        return f"{self.attempt}-{self.interim}-{self.stdout}-{self.stderr}-{self.state}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event, and the position after it."""

    kind: str
    """`status`, `interim` or `log`."""
    data: bytes
    """JSON on one line."""
    position: Position


class JobEvents:
    """The events of one job from a position on, up to the status of its end; made for each listener."""

    def __init__(self, spool: Spool, name: str, position: Position) -> None:
        self.position = position
        self._spool = spool
        self._name = name

    def over(self) -> bool:
        """Return whether the last event has been read."""
        return self.position.state.ended

    @contextmanager
    def changed(self, changes: Changes) -> Iterator[asyncio.Event]:
        """Yield an asyncio.Event that is set when there may be more to read; entered before `read`."""
        with ExitStack() as stack:
            yield self._follow(stack, changes)

    def _follow(self, stack: ExitStack, changes: Changes) -> asyncio.Event:
        """Watch the job's folder, or run/ and done/ as long as the job has none that can be watched."""
        with suppress(*_NO_FOLDER):
            return stack.enter_context(changes.inside(self._spool.folder(self._name)))
        appearing = stack.enter_context(changes.inside(self._spool.run, self._name))
        stack.enter_context(changes.inside(self._spool.done, self._name, appearing))
        with suppress(*_NO_FOLDER):  # it may have appeared before run/ was watched
            return stack.enter_context(changes.inside(self._spool.folder(self._name)))
        return appearing

    def read(self) -> list[Event]:
        """Return the next events since the last call. Blocks on the disk; raises UnknownJob."""
        return [] if self.over() else list(islice(self._read(), _BATCH))

    def _read(self) -> Iterator[Event]:
        status = self._spool.look_up(self._name)
        attempt = len(status.attempts)
        if attempt > self.position.attempt:
            self.position = Position(attempt)
        if not status.status.ended and status.status != self.position.state:
            yield self._status(status)
        before = self.position
        if attempt:
            with suppress(FileNotFoundError):  # its program has removed the folder
                yield from self._files(self._spool.folder(self._name), status)
        if status.status.ended and self.position == before:
            yield self._status(status)

    def _status(self, status: Status) -> Event:
        self.position = replace(self.position, state=status.status)
        fields = {
            "id": status.id,
            "status": status.status,
            "attempt": self.position.attempt,
            "createdAt": status.created,
            "startedAt": status.started,
            "endedAt": status.ended,
        }
        return Event("status", orjson.dumps(fields, option=orjson.OPT_UTC_Z), self.position)

    def _interim(self, folder: Path) -> list[bytes]:
        with suppress(FileNotFoundError, UntrustedFile):
            return read_interim(folder, self.position.interim, _CHUNK)
        return []

    def _files(self, folder: Path, status: Status) -> Iterator[Event]:
        """Yield the events of what was appended to the attempt's files, a chunk of each at a time."""
        for line in self._interim(folder):
            self.position = replace(self.position, interim=self.position.interim + len(line) + 1)
            yield Event("interim", line.replace(b"\r", b" "), self.position)
        longest = status.attempts[-1].longest_output
        for stream, log in LOGS.items():
            start = getattr(self.position, stream)
            for piece in read_log(folder / log, start, ended=status.status.ended, longest=longest):
                self.position = self.position.with_log(stream, piece.end)
                fields = {
                    "stream": stream,
                    "text": piece.text.decode(errors="replace"),
                    "whole": piece.whole,
                }
                yield Event("log", orjson.dumps(fields), self.position)
