"""An attempt: one start of a job, and how it ended."""

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
    """It was cancelled."""
    TIMED_OUT = "timed-out"
    """It ran longer than its timeout."""
    OUT_OF_MEMORY = "out-of-memory"
    """It used more memory than it was allowed."""
    OUTPUT_LIMIT = "output-limit"
    """It was ended because it printed more than it is allowed."""
    NOT_STARTED = "not-started"
    """Its runtime could not start it; the program has not run."""
    LOST = "lost"
    """Nobody knows how it ended, but it is certain that it is not alive."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended."""

    reason: Reason
    code: int | None = None
    """The exit code, where the program exited."""
    signal: int | None = None
    """The signal, where one killed it."""
    ended: datetime = field(default_factory=now)
    detail: str | None = None
    """More for the user, where the runtime knows more."""
    returned: Path | None = None
    """A file below the attempt's folder with what the program returned, as JSON: its result, where
    the runtime does not leave that to an output parser. For a program that failed, the failure's body."""
    failed: bool = False
    """Whether the program itself says that it failed, whatever its exit code."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a job, and the folder it has for itself: run/<id>/ in the spool."""

    job: Job
    service: Service
    folder: Path
    number: int
    """1 for the first start of a job."""
    spool_id: str
    """Tells this spool from others on the same host, in names of containers for instance."""
    started: datetime

    @property
    def descriptor(self) -> Path:
        """The job as it was submitted."""
        return self.folder / "job.json"

    @property
    def stdout(self) -> Path:
        """Where the runtime puts the program's standard output; output parsers read it while it grows.

        It need not be there as long as nothing was printed; so it is with stderr.
        """
        return self.folder / "stdout.log"

    @property
    def stderr(self) -> Path:
        """Where the runtime puts the program's standard error."""
        return self.folder / "stderr.log"

    @property
    def scratch(self) -> Path:
        """A folder on the spool's disk for what nobody needs later.

        What is in there is named `<pid>-<anything>`, and is removed once there is no such process.
        """
        return self.folder.parent.parent / "tmp"

    @property
    def input(self) -> Path:
        """The folder for the program's input files; a runtime that wants one makes it."""
        return self.folder / "input"

    @property
    def output(self) -> Path:
        """The folder for files that the program leaves; a runtime that wants one makes it."""
        return self.folder / "output"
