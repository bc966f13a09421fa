"""An attempt: one start of a job, and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from treadle.interface.job import Job
from treadle.interface.service import Service
from treadle_spool import Reason, now
from treadle_spool.folder import INPUT, JOB, OUTPUT, STDERR, STDOUT

__all__ = ["Attempt", "Exit", "Reason"]

_LARGEST = 2**31
"""The exit code, or the number of a signal, that is certainly none of a process."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of an attempt: a value that `Runtime.wait` returns. The engine records it in status.json."""

    reason: Reason
    code: int | None = None
    """The exit code, if the program exited."""
    signal: int | None = None
    """The number of the signal, if one killed the program."""
    ended: datetime = field(default_factory=now)
    detail: str | None = None
    """An explanation for the user, if the runtime has one."""
    notes: tuple[str, ...] = ()
    """What the user should know of an attempt that may have succeeded; it stands in the job's status."""
    returned: Path | None = None
    """A file below the attempt's folder with the program's result, or the body of its failure, as JSON: a
    regular file with no other name.

    None if the runtime leaves the result to an output parser.
    """
    failed: bool = False
    """Whether the program reported a failure, independently of its exit code."""
    unwritten: bool = False
    """Whether some of the program's output could not be kept.

    Then nobody can tell whether it printed a result: without `returned` the job fails.
    """
    cpu_seconds: float | None = None
    """The CPU time of all its processes, if the runtime knows it."""
    peak_memory: int | None = None
    """The most memory that one of its processes had resident, in bytes, if the runtime knows it."""


def check_exit(exit_: object) -> None:
    """Raise TypeError unless a runtime or a program has returned an exit that status.json can hold."""
    match exit_:
        case Exit(
            reason=Reason(),
            code=int() | None,
            signal=int() | None,
            ended=datetime(),
            detail=str() | None,
            notes=tuple(),
            returned=Path() | None,
            cpu_seconds=float() | int() | None,
            peak_memory=int() | None,
        ) if (
            exit_.ended.tzinfo is not None
            and _are_texts(exit_.notes)
            and _fits(exit_.code)
            and _fits(exit_.signal)
            and _fits(exit_.peak_memory)
        ):
            return
    raise TypeError(f"it has returned {exit_!r:.200}, and that is no Exit")


def _are_texts(notes: tuple[object, ...]) -> bool:
    return all(isinstance(note, str) for note in notes)


def _fits(number: int | None) -> bool:
    return number is None or abs(number) <= _LARGEST


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a job, as the engine passes it to a runtime's methods and to the hook `wrap_run`.

    A value, which does not survive a crash: the next engine makes an equal one from the files in the folder.
    The properties are paths. The files behind them, the descriptor apart, need not exist.
    """

    job: Job
    service: Service
    folder: Path
    """run/<id>/ in the spool; done/<id>/ in `Runtime.cleanup`. The folder and its files survive a crash."""
    number: int
    """1 for the first start of a job."""
    spool_id: str
    """The id of the spool, to tell spools of one host apart, for instance in the names of containers."""
    started: datetime
    """The time of day at which the engine recorded the attempt.

    Its timeout counts from this moment, over restarts of the engine, whatever is done to the clock.
    """

    @property
    def descriptor(self) -> Path:
        """The file with the job as it was submitted."""
        return self.folder / JOB

    @property
    def stdout(self) -> Path:
        """The file to which the runtime writes the program's standard output; it is parsed while it grows.

        A runtime need not make this file, or that of stderr, before something is printed.
        """
        return self.folder / STDOUT

    @property
    def stderr(self) -> Path:
        """The file to which the runtime writes the program's standard error."""
        return self.folder / STDERR

    @property
    def scratch(self) -> Path:
        """A folder on the spool's disk for temporary files, shared by all attempts.

        Entries are named `<pid>-<anything>`, and are removed when that process does not exist any more.
        """
        return self.folder.parent.parent / "tmp"

    @property
    def input(self) -> Path:
        """The folder for the program's input files; a runtime that needs it makes it."""
        return self.folder / INPUT

    @property
    def output(self) -> Path:
        """The folder for the program's output files; a runtime that needs it makes it."""
        return self.folder / OUTPUT
