"""Programs: how a service is executed. Where that happens is the runtime's part (runtime.py).

    attempt ──Program.command──▶ Command ──Runtime.start, wait──▶ Exit ──Program.returned──▶ Exit

A program makes a `Command` of an attempt: what to execute, with which environment, on which files. A runtime
executes the command on a host, in a container or on a cluster, and tells its exit. The program then says what
the exit means: whether the command left a result in a file, and whether that is a failure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from treadle.interface.attempt import Attempt, Exit
from treadle.interface.build import Build
from treadle.interface.options import Declared
from treadle.interface.service import Service


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the engine's host that a command needs, and where the command finds it."""

    source: Path
    target: str
    """An absolute path: the same as `source`, unless the command runs in an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a runtime executes for one attempt: a value, complete in itself.

    Its standard output goes to `Attempt.stdout`, and its standard error to `Attempt.stderr`. It reads nothing
    from standard input.
    """

    argv: tuple[str, ...]
    """The program and its arguments; empty only with an image: then the image says what is started."""
    environment: Mapping[str, str]
    """The complete environment. In an image, these variables are added to those of the image."""
    reads: tuple[Mount, ...] = ()
    """What the command reads; a runtime may make it read-only."""
    writes: tuple[Mount, ...] = ()
    """What the command writes to, besides its working folder."""
    workdir: Path | None = None
    """The working folder; None: an empty folder that the runtime makes, and removes afterwards."""
    image: str | None = None
    """The name of the image to execute in, where the service names one."""

    def relocated(self, before: Path, after: Path) -> Command:
        """Return the command for a host that has the folder `before` at the path `after`.

        For a runtime whose hosts mount the spool or the projects elsewhere. Paths in the arguments, the
        environment, the mounts and the working folder are replaced, each where it is `before` or below it.
        """

        def moved(text: str) -> str:
            inside = text == str(before) or text.startswith(f"{before}/")
            return f"{after}{text[len(str(before)) :]}" if inside else text

        def mounts(each: tuple[Mount, ...]) -> tuple[Mount, ...]:
            return tuple(Mount(Path(moved(str(mount.source))), moved(mount.target)) for mount in each)

        return replace(
            self,
            argv=tuple(map(moved, self.argv)),
            environment={name: moved(value) for name, value in self.environment.items()},
            reads=mounts(self.reads),
            writes=mounts(self.writes),
            workdir=None if self.workdir is None else Path(moved(str(self.workdir))),
        )


class Program(ABC):
    """The plugin type that says how a service is executed: as a Python function, an executable, an image.

    A plugin's `register_programs` makes one instance in each process that loads the plugins. It keeps no
    state of an attempt: what is to be known of one is in `Attempt.folder`.
    """

    name: ClassVar[str]
    """The value of `program` in a service's treadle.toml."""

    options: ClassVar[Declared] = {}
    """Further keys of treadle.toml that this program understands: a msgspec.Struct with a field for each,
    which `Service.options_of` returns. Or a mapping of keys to types, whose raw values are in
    `Service.options`. A key stands at the top level, or in a table of this program's name."""

    image: ClassVar[bool] = False
    """Whether its commands need an image. Only a runtime that executes images takes them (Runtime.images)."""

    def check(self, service: Service) -> None:  # noqa: B027  # a program need not have anything to check
        """Raise ServiceError if the service can't be executed. The default accepts all services.

        Called synchronously, in any thread, by the engine and by an API process: before a service is served,
        and about once a second afterwards, so it must be cheap and change nothing. A service that is refused
        is listed as broken. Called by `treadle build` and `treadle doctor` as well.
        """

    async def prepare(self, service: Service, build: Build) -> None:  # noqa: B027  # most need nothing
        """Make what the service needs on this host, such as an environment with the packages it requires.

        Called by `treadle build`, and by `serve` and `run` with --build, once, in the event loop of that
        command's process, before `check`. It changes nothing if what is there was made from the same. Jobs
        may run meanwhile, and other processes may call it for the same project: a job keeps what it began
        with.
        Raises StartError. A cancelled call, or a crash, leaves nothing that is used half made.
        """

    def lack(self, service: Service) -> str | None:
        """Return in one line what `prepare` would have to make, with the remedy; None if nothing is missing.

        Called by `serve`, `run` and `doctor` when they start, in a thread: it may read files, and starts
        nothing. An exception is logged.
        """
        return None

    @abstractmethod
    async def command(self, attempt: Attempt) -> Command:
        """Return what the runtime is to execute; write the input files that it reads, where it reads files.

        Called by the engine in its event loop before each `Runtime.start`. It is called again when the engine
        was restarted, while the attempt's command may be running: it must return an equal command, and leave
        files alone that are there. Put blocking work into a thread. Raises StartError if the service can't be
        executed: then the job fails. An OSError for which `treadle.may_pass` is true is retried.
        """

    def returned(self, attempt: Attempt, exit_: Exit) -> Exit:
        """Return the exit, completed by what the command returned in files of the attempt's folder.

        Called by the engine in its event loop after `Runtime.wait`, for a command that ended by itself. The
        default leaves the result to the service's output parser.
        """
        return exit_


def check_command(command: object, program: Program) -> None:
    """Raise TypeError unless a program has returned a command that a runtime can execute."""
    if not isinstance(command, Command):
        raise TypeError(f"its command is {command!r}, and not a Command")
    texts = (*command.argv, *command.environment, *command.environment.values())
    if not all(isinstance(each, str) for each in texts):
        raise TypeError("its command has arguments or variables that are not strings")
    if not command.argv and not program.image:
        raise TypeError("its command has no arguments: the first one names what is executed")
