"""Output parsers: what finds results in a program's standard output."""

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
    """Something that was meant to be a result and is not: what is wrong, and where.

    If no Result is found in the whole output, the job fails with INVALID_RESULT and the first of
    these as its detail. With interim set it was an interim result: that is noted, and fails nothing.
    """

    detail: str
    interim: bool = False


Found = Interim | Result | Malformed


class OutputParser(ABC):
    """Reads one attempt's standard output and yields what it finds.

    A parser keeps its own state and nothing else. The same bytes give the same findings, so that
    an engine that was restarted just reads the output again from its start.
    """

    name: ClassVar[str]
    """What a service calls it in treadle.toml's `parser`."""

    @abstractmethod
    def feed(self, line: bytes) -> Iterable[Found]:
        """Take the next line, without its line feed, and yield what it completes.

        A line longer than output.LONGEST_LINE is cut to that, unless wants_whole asked for it.
        """

    def finish(self) -> Iterable[Found]:
        """Take note that the output has ended; called once, after the last line."""
        return ()

    def wants_whole(self, head: bytes) -> bool:
        """Say whether a very long line that begins like this is needed in full."""
        return False
