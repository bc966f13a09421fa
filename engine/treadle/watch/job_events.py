"""What happens to one job, as a sequence that can be taken up again anywhere: status, interim results, log.

Everything is read from the job's files, so any process that serves the spool tells the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from treadle.watch.changes import Changes
from treadle_spool import Spool, State, Status

_CHUNK = 256 * 1024
"""Bytes of a file that are read at a time."""
_LONGEST = 64 * 1024
"""Bytes of a line that are told at once; a longer one comes in pieces."""
_CONTINUES = 0x80
"""The upper two bits of a byte within a character of UTF-8."""
_POSITION = re.compile(r"(\d{1,9})-(\d{1,18})-(\d{1,18})-(\d{1,18})-([A-Z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a listener has heard: the attempt, the bytes of its files, and the last state."""

    attempt: int = 0
    interim: int = 0
    stdout: int = 0
    stderr: int = 0
    state: State = State.UNKNOWN

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what str() has written; raise ValueError for anything else."""
        if (found := _POSITION.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is not the id of an event")
        attempt, interim, stdout, stderr = (int(part) for part in found.groups()[:4])
        return cls(attempt, interim, stdout, stderr, State(found[5]))

    def with_log(self, stream: str, end: int) -> Position:
        """Return the position in which a log has been heard up to a byte."""
        return replace(self, stdout=end) if stream == "stdout" else replace(self, stderr=end)

    def __str__(self) -> str:
        """Return what identifies the event that leads here."""
        return f"{self.attempt}-{self.interim}-{self.stdout}-{self.stderr}-{self.state}"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, and the position after it."""

    kind: str
    """`status`, `interim` or `log`."""
    data: bytes
    """JSON on one line."""
    position: Position


class JobEvents:
    """The events of one job from a position on, up to the status in which it has ended."""

    def __init__(self, spool: Spool, name: str, position: Position) -> None:
        self.position = position
        self._spool = spool
        self._name = name

    def over(self) -> bool:
        """Whether the last event has been told."""
        return self.position.state.ended

    @contextmanager
    def changed(self, changes: Changes) -> Iterator[asyncio.Event]:
        """Give an event that is set when there may be more to read; enter this before reading."""
        with ExitStack() as stack:
            yield self._follow(stack, changes)

    def _follow(self, stack: ExitStack, changes: Changes) -> asyncio.Event:
        """Follow the job's folder, or, as long as it has none, the place where that will appear."""
        while True:
            with suppress(FileNotFoundError):  # it has none, or it is just moving
                return stack.enter_context(changes.inside(self._spool.folder(self._name)))
            appearing = stack.enter_context(changes.inside(self._spool.run, self._name))
            if not (self._spool.run / self._name).exists():
                return appearing
            stack.close()

    def read(self) -> list[Event]:
        """Return what has happened since; nothing if nothing has. Blocks on the disk; raises UnknownJob."""
        return [] if self.over() else list(self._read())

    def _read(self) -> Iterator[Event]:
        status = self._spool.look_up(self._name)
        attempt = len(status.attempts)
        if attempt > self.position.attempt:
            self.position = Position(attempt)
        if not status.status.ended and status.status != self.position.state:
            yield self._status(status)
        before = self.position
        if attempt:
            yield from self._files(self._spool.folder(self._name), status.status.ended)
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

    def _files(self, folder: Path, ended: bool) -> Iterator[Event]:
        """Yield what the attempt's files have more, a good part of it at a time."""
        for line in _whole_lines(folder / "interim.jsonl", self.position.interim):
            self.position = replace(self.position, interim=self.position.interim + len(line) + 1)
            yield Event("interim", line.replace(b"\r", b" "), self.position)
        for stream in ("stdout", "stderr"):
            path, start = folder / f"{stream}.log", getattr(self.position, stream)
            for piece in _pieces(path, start, ended=ended):
                self.position = self.position.with_log(stream, piece.end)
                fields = {
                    "stream": stream,
                    "text": piece.text.decode(errors="replace"),
                    "whole": piece.whole,
                }
                yield Event("log", orjson.dumps(fields), self.position)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A line without its end, or a part of a long one; `end` is where the next piece starts."""

    text: bytes
    end: int
    whole: bool


def _whole_lines(path: Path, start: int) -> list[bytes]:
    """Return some complete lines of a file from start on, without their ends; none only if it has none."""
    pieces: list[bytes] = []
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(start)
        while piece := file.read(_CHUNK):
            pieces.append(piece)
            if b"\n" in piece:
                break
    return b"".join(pieces).split(b"\n")[:-1]


def _pieces(path: Path, start: int, *, ended: bool) -> Iterator[_Piece]:
    """Cut some of what a file has from start on into lines.

    A line that is not complete is left for later, unless it is long or the file has ended.
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


def _cut(line: bytes, start: int, *, whole: bool) -> Iterator[_Piece]:
    """Cut a line into parts that are not too long."""
    while len(line) > _LONGEST:
        length = _LONGEST
        while length > _LONGEST - 4 and line[length] & 0xC0 == _CONTINUES:
            length -= 1
        yield _Piece(line[:length], start + length, whole=False)
        line, start = line[length:], start + length
    yield _Piece(line, start + len(line) + whole, whole)
