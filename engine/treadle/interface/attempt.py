"""An attempt: one start of a job, and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from treadle.interface.job import Job
from treadle.interface.service import Service
from treadle_spool import now


class Reason(StrEnum):
    """Why an attempt is over."""

    ENDED = "ended"
    """The program ended by itself."""
    STOPPED = "stopped"
    """The job was cancelled."""
    TIMED_OUT = "timed-out"
    """The program ran longer than its timeout."""
    OUT_OF_MEMORY = "out-of-memory"
    """The program used more memory than it was allowed."""
    OUTPUT_LIMIT = "output-limit"
    """The program was killed because it printed more than it is allowed."""
    NOT_STARTED = "not-started"
    """The runtime could not start the program; it has not run."""
    LOST = "lost"
    """Its exit status is unknown, but it is certain that no process of it is alive."""


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
    returned: Path | None = None
    """A file below the attempt's folder with the program's result, or the body of its failure, as JSON.

    None if the runtime leaves the result to an output parser.
    """
    failed: bool = False
    """Whether the program reported a failure, independently of its exit code."""


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
    """When the engine recorded the attempt; its timeout counts from here, over restarts of the engine."""

    @property
    def descriptor(self) -> Path:
        """The file with the job as it was submitted."""
        return self.folder / "job.json"

    @property
    def stdout(self) -> Path:
        """The file to which the runtime writes the program's standard output; it is parsed while it grows.

        A runtime need not make this file, or that of stderr, before something is printed.
        """
        return self.folder / "stdout.log"

    @property
    def stderr(self) -> Path:
        """The file to which the runtime writes the program's standard error."""
        return self.folder / "stderr.log"

    @property
    def scratch(self) -> Path:
        """A folder on the spool's disk for temporary files, shared by all attempts.

        Entries are named `<pid>-<anything>`, and are removed when that process does not exist any more.
        """
        return self.folder.parent.parent / "tmp"

    @property
    def input(self) -> Path:
        """The folder for the program's input files; a runtime that needs it makes it."""
        return self.folder / "input"

    @property
    def output(self) -> Path:
        """The folder for the program's output files; a runtime that needs it makes it."""
        return self.folder / "output"
