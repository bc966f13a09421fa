"""The program `command`: any executable, with its input in files and its results as markers on its output."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import ClassVar

from treadle import Attempt, Build, Command, Exit, Mount, Program, Service, ServiceError, write_inputs
from treadle_python.building.builder import Builder
from treadle_python.building.state import lack
from treadle_python.environment import cpus_of, of_attempt, of_service
from treadle_python.options import CommandOptions

_PROJECT = "{project}"


class Executable(Program):
    """Executes what `command` in treadle.toml lists: a program and its arguments, without a shell.

    The input is in the files data.json and params.json of the folder that INPUT_DIRECTORY names. Results are
    found by the service's output parser.
    """

    name: ClassVar[str] = "command"
    options = CommandOptions

    def __init__(self, *, jobs: int = 1, installer: str = "auto") -> None:
        """Share the host's CPUs among so many jobs that run at the same time; build by an installer."""
        self._jobs = jobs
        self._installer = installer

    def check(self, service: Service) -> None:
        """Raise ServiceError if there is no command, or this host can't find its program."""
        if not service.options_of(CommandOptions, self.name).command:
            raise ServiceError(
                f"{service.path}: program 'command' needs `command` in treadle.toml, a list of the program "
                'and its arguments, such as ["./solve", "--fast"]'
            )
        program = self._argv(service)[0]
        if shutil.which(program, path=self._environment(service).get("PATH")) is None:
            text = f"{service.path}: the program of `command` is not there, or not executable: {program}"
            raise ServiceError("; ".join(filter(None, (text, lack(service)))))

    async def prepare(self, service: Service, build: Build) -> None:
        """Make the environment that the project requires: its executables are first on the command's PATH."""
        await Builder(service, build, self._installer).run()

    def lack(self, service: Service) -> str | None:
        """Return what is to be installed."""
        return lack(service)

    async def command(self, attempt: Attempt) -> Command:
        """Write the input files and return the command."""
        await write_inputs(attempt)
        folder = str(attempt.input)
        return Command(
            argv=self._argv(attempt.service),
            environment={
                **self._environment(attempt.service),
                **of_attempt(attempt),
                "INPUT_DIRECTORY": folder,
            },
            reads=(
                Mount(attempt.input, folder),
                Mount(attempt.service.path, str(attempt.service.path)),
            ),
        )

    def returned(self, attempt: Attempt, exit_: Exit) -> Exit:
        """Return the exit; of a failure it says what is not installed, since that may be why."""
        if exit_.code in {0, None} or exit_.returned is not None or exit_.detail is not None:
            return exit_
        return replace(exit_, detail=lack(attempt.service))

    def _argv(self, service: Service) -> tuple[str, ...]:
        """Return the command, with the project's folder where `{project}` stands.

        A program with a slash in its name, and without one at its start, is in the project.
        """
        program, *arguments = (
            part.replace(_PROJECT, str(service.path))
            for part in service.options_of(CommandOptions, self.name).command
        )
        if "/" in program:
            program = str(service.path / program)
        return (program, *arguments)

    def _environment(self, service: Service) -> dict[str, str]:
        return of_service(service, cpus_of(service, self._jobs))
