"""Runtimes: what runs a job. Four asynchronous methods over a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from treadle.interface.attempt import Attempt, Exit
from treadle.interface.errors import TreadleError
from treadle.interface.service import Service


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `treadle doctor` tells of one thing that was looked at."""

    subject: str
    works: bool
    detail: str
    """What was found."""
    remedy: str = ""
    """What to install or start, where it does not work."""


class StartError(TreadleError):
    """The runtime could not start the program.

    code and detail become the job's failure: say what is missing and how to mend it.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Runtime(ABC):
    """Runs attempts. The engine may be restarted at any moment, so nothing may depend on its memory.

    What the methods need to know of an attempt that an earlier engine started, they find in its folder.
    """

    name: ClassVar[str]
    """What a service calls it in treadle.toml's `runtime`."""

    options: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    """Further top-level keys of treadle.toml that this runtime understands, with the types they take;
    they arrive in Service.options."""

    kinds: ClassVar[frozenset[str]] = frozenset()
    """Other names that a service may use in `runtime` to leave the choice to the host."""

    def check(self, service: Service) -> None:  # noqa: B027  # most runtimes have nothing to check
        """Raise ServiceError if the service can't be run, before it is served. By default, all can."""

    @abstractmethod
    async def start(self, attempt: Attempt) -> None:
        """Start the program, or adopt it: for an attempt that was started already, change nothing.

        When this returns, the program has been started, wait and stop find it, and its life does not depend
        on this process. Raises StartError when it can't be started; then it has not run and never will.
        Cancelled in the middle, it must leave something that stop and cleanup can deal with.

        Here and in wait and stop, an OSError that `may_pass` (a full disk, no more file descriptors) is
        no failure of the job: leave it to the engine, which waits and calls start again.
        """

    @abstractmethod
    async def wait(self, attempt: Attempt) -> Exit:
        """Wait until the attempt is over and return how it ended; its whole output is in its folder then.

        May be called by another engine than the one that started it, and more than once. Never
        returns while any process of the attempt is alive.
        """

    @abstractmethod
    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Ask the program to end, and after grace seconds make it. Nothing of it is alive when this returns.

        An attempt that is over already, or was never started, is no error.
        """

    async def cleanup(self, attempt: Attempt) -> None:  # noqa: B027  # most leave nothing behind
        """Remove what the attempt left outside its folder. Called after the outcome is published.

        The folder has moved to done/ by then. May be called more than once, or never, after a crash.
        """

    def limits(self, service: Service) -> Mapping[str, Any]:
        """Return the limits that hold for an attempt of the service, for status.json."""
        return {}

    async def prepare(self, service: Service, report: Callable[[str], None]) -> None:  # noqa: B027  # most need nothing
        """Make ready what the service needs, its image for instance, and report how it goes, line by line.

        An attempt that finds it missing does the same. Raises StartError.
        """

    async def diagnose(self) -> Diagnosis:
        """Say whether this host can run anything with this runtime, for `treadle doctor` and for a choice."""
        return Diagnosis(self.name, works=True, detail="it needs nothing")

    async def tidy(self, spool_id: str, alive: Callable[[str, int], bool]) -> None:  # noqa: B027  # most leave nothing
        """Remove what attempts of the spool that are not alive any more have left outside their folders.

        Called at the start and from time to time; alive(job, attempt) says whether an attempt still
        needs what it has.
        """

    async def close(self) -> None:  # noqa: B027  # most have nothing open
        """Close what is open towards others; called when the engine ends. Attempts go on."""
