"""Runtimes: where a job is executed. Four asynchronous methods over a folder are the core.

What is executed is the program's part (program.py).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from treadle.interface.attempt import Attempt, Exit
from treadle.interface.errors import TreadleError
from treadle.interface.options import Declared
from treadle.interface.program import Command
from treadle.interface.service import Service


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check of `treadle doctor`."""

    subject: str
    """What was checked, such as `runtime docker`."""
    works: bool
    detail: str
    """What the check found."""
    remedy: str = ""
    """What to install or start, if it does not work."""


class StartError(TreadleError):
    """The runtime could not start the program.

    code and detail become the body of the job's failure: say what is missing and how to mend it.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Unavailable(StartError):
    """What the service needs is missing on this host, and nothing of the attempt has begun.

    Raised by `Runtime.start` and `Program.command` in place of a StartError, where the job is not to blame: a
    missing image, an interpreter that has gone. The engine then lists the service as broken, with the detail
    as the reason, and the job waits until the service works again. An attempt that may have been started
    before fails as by a StartError.
    """


class Runtime(ABC):
    """The plugin type that runs attempts: on this host, in containers, or anywhere else.

    A plugin's `register_runtimes` makes one instance in each process that loads the plugins: the engine, an
    API process, and some commands. An instance lives as long as its process. Only the engine's process
    starts, awaits, stops and cleans up attempts.

    The engine may crash or restart at any moment, and the attempts go on. Nothing in the instance's memory
    survives a restart: what a method must know of an attempt is in `Attempt.folder`.

    All `async` methods run in the event loop of their process, which serves all jobs: put blocking work into
    a thread. Calls for different attempts overlap. The calls for one attempt do not.

    An OSError for which `treadle.may_pass` is true (a full disk, no more file descriptors) is a transient
    error, and no failure of the job. `start`, `wait` and `stop` let it through: after a backoff the engine
    calls `start` again. Any other exception of `start` or `wait`, StartError apart, is logged; then the
    engine calls `stop`, and the job fails with the code RUNTIME_ERROR.
    """

    name: ClassVar[str]
    """The value of `runtime` in a service's treadle.toml."""

    images: ClassVar[bool] = False
    """Whether it executes the commands of programs that need an image, and only those (Program.image)."""

    options: ClassVar[Declared] = {}
    """Further keys of treadle.toml that this runtime understands: a msgspec.Struct with a field for each,
    which `Service.options_of` returns. Or a mapping of keys to types, whose raw values are in
    `Service.options`. A key stands at the top level, or in a table of this runtime's name."""

    kinds: ClassVar[frozenset[str]] = frozenset()
    """Other values of `runtime` that mean this runtime among others: the engine chooses one that works."""

    def check(self, service: Service) -> None:  # noqa: B027  # most runtimes have nothing to check
        """Raise ServiceError if the service can't be run. The default accepts all services.

        Called synchronously, in any thread, by the engine and by an API process: before a service is served,
        and about once a second afterwards, so it must be cheap and change nothing. A service that is refused
        is listed as broken. Called by `treadle build` and `treadle doctor` as well.
        """

    async def missing(self, service: Service) -> str | None:
        """Return what the service needs and this host lacks at the moment, in a sentence; None: nothing.

        For what `check` can't see at once, such as an image. It must make nothing. Called by the engine and
        by an API process after they have started, then every few seconds, for each service whose first
        working candidate this runtime is; and by `treadle doctor`. A service that lacks something is listed
        as broken, and its jobs wait. An exception is logged, and counts as nothing.
        """
        return None

    def release(self, service: Service) -> None:  # noqa: B027  # most keep nothing for a service
        """Let go what is kept for new attempts of a service, such as a process that waits for them.

        Called by the engine, in its event loop, when the service is removed, broken or changed: no attempt
        will be started with this value of it, but some may run, and go on. An exception is logged.
        """

    @abstractmethod
    async def start(self, attempt: Attempt, command: Command) -> None:
        """Start the command, or adopt it: if the attempt was started before, change nothing.

        Called by the engine once for each attempt, and again after a restart of the engine or a transient
        error; the command is an equal one then. When this returns, the program has been started, `wait` and
        `stop` find it, and its life does not depend on the engine's process. Raises StartError if it can't be
        started: then it has not run and never will, and the job fails.

        The call may be cancelled at any await (a cancel, a timeout, the engine's stop). It must leave the
        attempt in a state that `start`, `stop` and `cleanup` can deal with.
        """

    @abstractmethod
    async def wait(self, attempt: Attempt) -> Exit:
        """Wait until the attempt is over, and return how it ended; its whole output is in its folder then.

        Called by the engine after `start`, and again after `stop`. So it may be called more than once for an
        attempt, and by another engine than the one that started it. It never returns while a process of the
        attempt is alive. The call may be cancelled at any await, and the attempt goes on.
        """

    @abstractmethod
    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Ask the program to end, and kill it after grace seconds; no process of it is alive afterwards.

        Called by the engine when the job is cancelled or reaches its timeout, after an exception of `start`
        or `wait`, and where an attempt can't be gone on with; no other call for the attempt is pending then.
        An attempt that is over already, or was never started, is no error, nor is one whose files were put
        away; one that was not started must not start later. An exception other
        than a transient error is logged, and the job fails with the code RUNTIME_ERROR, although its program
        may be alive.
        """

    async def cleanup(self, attempt: Attempt) -> None:  # noqa: B027  # most leave nothing behind
        """Remove what the attempt left outside its folder.

        Called by the engine for the last attempt of a job, started or not, after the outcome is published:
        `Attempt.folder` is in done/ by then. After a crash it may be called more than once, or never;
        `tidy` removes the rest. An exception is logged, and the job keeps its outcome.
        """

    def limits(self, service: Service) -> Mapping[str, Any]:
        """Return the limits that hold for an attempt of the service, as values for JSON.

        Called by the engine, in its event loop, for each job that it claims. The limits are recorded in
        attempt.json and status.json. An exception is logged, and no limits are recorded.
        """
        return {}

    async def prepare(self, service: Service, report: Callable[[str], None]) -> None:  # noqa: B027  # most need nothing
        """Prepare what the service needs, such as its image; call report with each line of progress.

        Called by `treadle build`, once, in that command's process. Raises StartError. An attempt whose
        service is not prepared does the same in `start`.
        """

    async def prune(self, keep: int, service: Service | None = None, *, dry_run: bool = False) -> list[str]:
        """Remove what `prepare` made for services of this host, such as images; return what was removed.

        keep: how many of each service stay, the newest ones. With a service, only what is that one's is
        removed, and never what it needs now. What an attempt uses stays, and what is needed again is made
        again. With dry_run nothing is removed.
        Called by `treadle gc --images`, and by `treadle build --prune` after `prepare`. Raises StartError.
        """
        return []

    async def diagnose(self) -> Diagnosis:
        """Return whether this host can run programs with this runtime. Must not raise.

        Called where a service's `runtime` means several runtimes, to choose the first one that works: by the
        engine for each job, and by `treadle build`. A plugin's hook `diagnose` may call it as well.
        """
        return Diagnosis(self.name, works=True, detail="it needs nothing")

    async def tidy(self, spool_id: str, alive: Callable[[str, int], bool]) -> None:  # noqa: B027  # most leave nothing
        """Remove the orphans: what dead attempts of the spool left outside their folders.

        Called by the engine when it starts, and then every `tidy` seconds (a setting), for each runtime that
        a service may use. alive(job, attempt) returns whether an attempt still needs what it has; it reads a
        file. An exception is logged, and the next round tries again.
        """

    async def close(self) -> None:  # noqa: B027  # most have nothing open
        """Close open connections; the attempts go on.

        Called once in each process that loaded the plugins and ends in order: the engine, an API process,
        `treadle run`, `treadle build` and `treadle doctor`. Never called after a crash. An exception is
        logged.
        """


def takes_command(runtime: Runtime) -> bool:
    """Return whether the runtime's `start` takes the command; an older one takes the attempt alone.

    Such a runtime is the program and the place in one: what the service's program would do is its own affair.
    The second positional parameter is the command if it is named so, or has no default.
    """
    parameters = list(inspect.signature(runtime.start).parameters.values())
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return True
    by_position = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    positional = [each for each in parameters if each.kind in by_position]
    if len(positional) < 2:  # noqa: PLR2004  # the attempt and the command
        return False
    return positional[1].name == "command" or positional[1].default is inspect.Parameter.empty
