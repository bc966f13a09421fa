"""Output parsers: the plugins that find results in a program's standard output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Interim:
    """An interim result: one valid JSON value, as the bytes the program printed."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """The result: one valid JSON value, as the bytes the program printed."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """Output that was meant to be a result, and is not valid.

    If the whole output has no Result and the program succeeded, the job fails with INVALID_RESULT and the
    first detail.
    """

    detail: str
    """What is wrong, and where in the output."""
    interim: bool = False
    """Whether it was meant to be an interim result: the detail goes to the notes in status.json, and the job
    does not fail."""


Found = Interim | Result | Malformed


def check_found(found: object) -> None:
    """Raise TypeError unless a parser has yielded a finding of the right types."""
    match found:
        case Interim(value=bytes()) | Result(value=bytes()) | Malformed(detail=str()):
            return
    raise TypeError(f"it has yielded {found!r:.80}, and that is no finding")


class OutputParser(ABC):
    """The parser of one attempt's standard output: a state machine that is fed line by line.

    The engine makes an instance, without arguments, each time that it starts or adopts an attempt, and calls
    it in its event loop: a method that blocks stops all jobs. Only what may be large is fed in a thread: the
    end of a line of more than 256 KiB, and all lines while much is `collected`. Calls don't overlap.
    `treadle.json_fault` says whether bytes are JSON.

    A parser keeps its own state and nothing else, and nothing of it survives a crash. The same bytes must
    give the same findings: after a restart or a transient error, a new instance reads the output again from
    its start. If a method raises, that is logged, noted as Malformed, and the instance is not called again.
    """

    name: ClassVar[str]
    """The value of `parser` in a service's treadle.toml."""

    @abstractmethod
    def feed(self, line: bytes) -> Iterable[Found]:
        """Take the next line, without its line feed, and yield the findings that it completes.

        Called once for each line, in order, while the program runs. A line that is longer than 64 KiB
        (dispatch/lines.py, LONGEST_LINE) is cut to that length, unless `wants_whole` returned True for it.
        """

    def skip(self, output: bytes, start: int, end: int) -> int:
        """Take the lines of output[start:end] that come before a finding; return where the next one begins.

        Called before `feed`, with whole lines; what is taken is not fed. A parser for which few lines matter
        finds the next one of them by a search, a hundred times as fast. By default all lines are fed.
        """
        return start

    def finish(self) -> Iterable[Found]:
        """Yield the findings that only the end of the output completes.

        Called once after the last line, when the attempt is over; not if the attempt could not be started.
        """
        return ()

    def collected(self) -> int:
        """Return how many bytes of earlier lines are kept for a finding.

        While they are many, `feed` and `finish` are called in a thread: the finding may take them long.
        """
        return 0

    def wants_whole(self, head: bytes) -> bool:
        """Return whether a line of more than 64 KiB is needed in full; head is its first 64 KiB.

        Called at most once for such a line, before `feed`. No line is longer than the setting `max_result`.
        """
        return False
