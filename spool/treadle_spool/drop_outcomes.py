"""What becomes of an entry of drop/: the outcomes of the steps of drop.py."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from treadle_spool.descriptor import Descriptor
from treadle_spool.errors import SpoolError
from treadle_spool.status import Status


@dataclass(frozen=True, slots=True)
class Found:
    """A finished file that holds a job: to be checked, and accepted or refused."""

    entry: str
    descriptor: Descriptor
    file: os.stat_result
    """The file that was read; only this one is taken away."""
    digest: bytes
    """That of its content."""


@dataclass(frozen=True, slots=True)
class Large:
    """A finished file that is too large to be decoded here: to be composed, and accepted or refused."""

    entry: str
    file: os.stat_result
    is_complete: bool
    """Whether it is certain that no process is still writing it."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """An entry that is to be refused."""

    entry: str
    error: SpoolError
    file: os.stat_result
    """The file that was looked at; only this one is moved."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The file was accepted as a job."""

    status: Status
    stays: str | None = None
    """Why it can't be taken away; None: it is."""
    again: str | None = None
    """An entry to look at now: another file has taken the place of the one that was accepted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The entry was refused; its reason is in bad/, and so is the entry."""

    name: str
    reason: str
    stays: str | None = None
    """Why it can't be moved to bad/; None: it is there."""


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """The entry was dealt with before, and stays in drop/: it can't be moved away."""

    stays: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The entry is left in drop/."""

    unfinished: bool
    """Whether to look again soon: a process may still be writing the file."""
    again: float = field(default=0.0, compare=False)
    """Seconds until then."""
    entry: str | None = field(default=None, compare=False)
    """The name to look at then, if it is another one."""
