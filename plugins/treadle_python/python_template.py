"""The program `python-template`: a service's Python function, called in a new process for every attempt.

The command is a call of `treadle_inside.program.main` in the service's interpreter. It writes the function's
result to a file of the attempt's folder. The host runtime knows this kind of command, and takes a shorter way
to the same call (fork_servers.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from treadle import Attempt, Build, Command, Exit, Mount, Program, Service, ServiceError, Unavailable
from treadle_python.bootstrap import HERE, bootstrap
from treadle_python.building.builder import Builder
from treadle_python.building.state import lack
from treadle_python.environment import cpus_of, interpreter, of_attempt, of_service
from treadle_python.exits import notes_of
from treadle_python.treadle_inside.protocol import RESULT_FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCall(Command):
    """The command of a call, and its parts for a runtime that can make the call without a new interpreter."""

    python: Path
    project: Path
    entrypoint: str
    service_environment: Mapping[str, str]
    """The part of the environment that all attempts of the service have."""
    attempt_environment: Mapping[str, str]

    def relocated(self, before: Path, after: Path) -> Command:
        """Return a plain command for a host that has a folder elsewhere: a new interpreter makes the call."""
        plain = Command(
            argv=self.argv,
            environment=self.environment,
            reads=self.reads,
            writes=self.writes,
            workdir=self.workdir,
        )
        return plain.relocated(before, after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What the commands of all attempts of a service have in common."""

    service: Service
    python: Path
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    reads: tuple[Mount, ...]


class PythonTemplate(Program):
    """Calls `run(data, params)`, or what `entrypoint` names, in the interpreter of `python`."""

    name: ClassVar[str] = "python-template"

    def __init__(self, *, jobs: int = 1, installer: str = "auto") -> None:
        """Share the host's CPUs among so many jobs that run at the same time; build by an installer."""
        self._jobs = jobs
        self._installer = installer
        self._bases: dict[str, _Base] = {}
        """What the commands of each service have in common, while it and its environment are the same."""

    def check(self, service: Service) -> None:
        """Raise ServiceError if the interpreter is missing, or the environment that it asks for."""
        try:
            interpreter(service)
        except Unavailable as error:
            raise ServiceError(f"{service.path}: {error}") from error

    async def prepare(self, service: Service, build: Build) -> None:
        """Make the environment that the project requires."""
        await Builder(service, build, self._installer).run()

    def lack(self, service: Service) -> str | None:
        """Return what is to be installed."""
        return lack(service)

    async def command(self, attempt: Attempt) -> PythonCall:
        """Return the call. Raises Unavailable if the interpreter is missing.

        After a switch of the environment it is another call; an attempt that has begun goes on as it is.
        """
        service = attempt.service
        base, of_this = await self._base(service), of_attempt(attempt)
        folder, descriptor = str(attempt.folder), attempt.descriptor
        return PythonCall(
            argv=(*base.argv, folder, str(service.path), service.entrypoint),
            environment={**base.environment, **of_this},
            reads=(*base.reads, Mount(descriptor, str(descriptor))),
            writes=(Mount(attempt.folder, folder),),
            python=base.python,
            project=service.path,
            entrypoint=service.entrypoint,
            service_environment=base.environment,
            attempt_environment=of_this,
        )

    def returned(self, attempt: Attempt, exit_: Exit) -> Exit:
        """Return the exit with the file that the function's result or failure is in, where there is one."""
        if exit_.returned is not None:
            return exit_
        for word, name in RESULT_FILES.items():
            if os.path.lexists(attempt.folder / name):
                return replace(
                    exit_, returned=attempt.folder / name, failed=word == "error", notes=notes_of(word)
                )
        return exit_

    async def _base(self, service: Service) -> _Base:
        cached, python = self._bases.get(service.name), interpreter(service)
        if cached is not None and cached.service is service and cached.python == python:
            return cached
        environment = await asyncio.to_thread(of_service, service, cpus_of(service, self._jobs), python)
        base = self._bases[service.name] = _Base(
            service=service,
            python=python,
            argv=(str(python), *bootstrap("program")),
            environment=environment,
            reads=(Mount(HERE, str(HERE)), Mount(service.path, str(service.path))),
        )
        return base
