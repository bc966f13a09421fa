"""Which fork server the attempts of a service are sent to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from treadle import Attempt, Command, Service, open_files
from treadle_python.environment import inherited
from treadle_python.fork_server_process import ForkServerSpec
from treadle_python.options import HostOptions
from treadle_python.python_template import PythonCall


class ServerSpecs:
    """The specifications of the services' servers; they are kept, since a server's name is a hash of all.

    It lives as long as the runtime; only the event loop's thread may use it.
    """

    def __init__(self, contain: str, release: Callable[[str], None]) -> None:
        """Make specifications with a kind of containment; release is told the names that are outdated."""
        self._contain = contain
        self._release = release
        self._made: dict[tuple[str, str], tuple[Service, ForkServerSpec]] = {}
        """By spool and service's name; each with the value of the service that it was made for."""

    def of(self, attempt: Attempt, command: Command) -> ForkServerSpec:
        """Return the specification of the server for an attempt."""
        service, python = attempt.service, interpreter_of(command)
        made = self._made.get((attempt.spool_id, service.name))
        if made is not None and made[0] is service and made[1].python == python:
            return made[1]
        is_call = isinstance(command, PythonCall)
        spec = ForkServerSpec(
            spool_id=attempt.spool_id,
            service=service.name,
            python=python,
            project=service.path,
            preload=service.options_of(HostOptions, "host").preload if is_call else (),
            environment=command.service_environment if isinstance(command, PythonCall) else inherited(),
            contain=self._contain,
            files=open_files(),
        )
        if made is not None and made[1].name != spec.name:
            self._release(made[1].name)  # of another environment: it ends when it is idle
        self._made[attempt.spool_id, service.name] = service, spec
        return spec

    def take(self, service: Service) -> list[ForkServerSpec]:
        """Forget the specifications that were made for a value of a service, and return them."""
        keys = [key for key, (of, _) in self._made.items() if of is service]
        return [self._made.pop(key)[1] for key in keys]


def interpreter_of(command: Command) -> Path:
    """Return the Python of the supervisor: the service's own for a call, ours for any other command."""
    return command.python if isinstance(command, PythonCall) else Path(sys.executable)
