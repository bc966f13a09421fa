"""The runtime `host`: it starts, waits for and stops commands on this host, by the files of a supervisor.

1. start: if process.json exists, the attempt has its supervisor, or a fence: change nothing. Otherwise send
   the request to the service's fork server (fork_servers.py). Where that is impossible or not wanted
   (`start = "spawn"`), start a spawn process, which forks a supervisor and exits (spawning.py). The program
   of a PythonCall is the forked process itself; for any other command that process becomes the executable.
2. wait: if a supervisor of this engine's links has the attempt, wait for its report. Otherwise open a pidfd
   of the process in process.json, and wait for its end. Then read the exit from the name of a file
   (`exit-...`). Without such a name the attempt is lost.
3. stop: SIGTERM to the supervisor, after the grace period SIGUSR1 (kill all), at last SIGKILL. Before each
   of the first two signals look for the exit, because the supervisor may have its next attempt by then.

The invariant: process.json is published exclusively (identity.py). The first publisher decides whether the
program runs: a supervisor, or an engine that publishes a fence (`SupervisorHandle.fence`). So an attempt that
is given up here is never started later, and many calls of start run one program.
Replies and links only save time. Everything that another engine needs to adopt the attempt is in its folder.

Dropped: to wait for the end of the supervisor's process alone, and to send signals without a look at the
exit, since a supervisor lives on for its next attempt. The exit in a file of its own (identity.py). To kill
only the spawn process, and not its session, when a start is cancelled (spawning.py).
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1
from typing import Any, ClassVar

from treadle import Attempt, Command, Diagnosis, Exit, Reason, Runtime, Service
from treadle_python.environment import inherited, mark
from treadle_python.exits import exit_of_name, output_limit, recorded_exit
from treadle_python.fork_server_process import ForkServerSpec
from treadle_python.fork_servers import ForkServers
from treadle_python.mount_table import MountTable
from treadle_python.options import HostOptions
from treadle_python.python_template import PythonCall
from treadle_python.spawning import spawn
from treadle_python.supervisor_handle import SupervisorHandle, kill_marked, send, wait_for_end
from treadle_python.supervisor_link import SupervisedAttempt
from treadle_python.treadle_inside.protocol import ALREADY_PUBLISHED, STARTED, TRANSIENT_ERROR

_KILL_TIMEOUT = 5.0
"""Seconds that a supervisor has to kill its program before it is killed itself."""


class HostRuntime(Runtime):
    """Executes commands on this host, each in a new process and, where possible, a PID namespace.

    It lives as long as the engine. Its fork servers, and supervisors with a running program, outlive it;
    another engine adopts the attempts by their folders.
    """

    name: ClassVar[str] = "host"
    options = HostOptions

    def __init__(self, contain: str = "auto", *, idle: float = 30.0) -> None:
        """Contain programs by `namespace`, by `subreaper`, or by the first that is permitted (`auto`).

        Fork servers without a lease end after idle seconds.
        """
        self._contain = contain
        self._mounts = MountTable()
        self._servers = ForkServers(idle)
        self._specs: dict[tuple[str, str], tuple[Service, ForkServerSpec]] = {}
        self._supervised: dict[Path, SupervisedAttempt] = {}
        """The attempts whose exit a supervisor of this engine reports, by folder."""

    def check(self, service: Service) -> None:
        """Raise ServiceError if an option is wrong."""
        service.options_of(HostOptions, self.name)

    def limits(self, service: Service) -> dict[str, Any]:
        """Return the output limit."""
        return {"output": output_limit(service)}

    async def diagnose(self) -> Diagnosis:
        """Report which interpreter is used by default; services may have their own."""
        detail = f"Python {platform.python_version()} at {sys.executable}, for services without their own"
        return Diagnosis(f"runtime {self.name}", works=True, detail=detail)

    async def start(self, attempt: Attempt, command: Command) -> None:
        """Start a supervisor for the attempt, unless process.json exists. Idempotent."""
        if SupervisorHandle.of(attempt.folder) is not None:
            return
        request = self._request(attempt, command)
        if attempt.service.options_of(HostOptions, self.name).start == "spawn" or not await self._fork(
            attempt, command, request
        ):
            await spawn(attempt, _interpreter(command), command.environment, request)

    async def close(self) -> None:
        """Close the leases of the fork servers and the links; running programs go on."""
        await self._servers.close()

    async def _fork(self, attempt: Attempt, command: Command, request: dict[str, Any]) -> bool:
        """Start the attempt by the service's fork server; return False if it needs a spawn process.

        Raises OSError at a transient error. A cancelled call publishes a fence.
        """
        spec = self._spec(attempt, command)
        try:
            supervised = await self._servers.start(spec, request)
        except asyncio.CancelledError:
            SupervisorHandle.fence(attempt.folder)
            raise
        if supervised is None:
            return False
        reply = supervised.reply.result()
        if reply[:1] == TRANSIENT_ERROR:
            raise OSError(reply[1], os.strerror(reply[1]))
        if reply == STARTED:
            self._supervised[attempt.folder] = supervised
        elif reply != ALREADY_PUBLISHED:
            SupervisorHandle.fence(attempt.folder)  # it was killed: wait() sees whether it had published
        return True

    def _spec(self, attempt: Attempt, command: Command) -> ForkServerSpec:
        """Return the specification of the service's server; it is cached until the service changes."""
        service = attempt.service
        cached = self._specs.get((attempt.spool_id, service.name))
        if cached is not None and cached[0] is service:
            return cached[1]
        is_call = isinstance(command, PythonCall)
        spec = ForkServerSpec(
            spool_id=attempt.spool_id,
            service=service.name,
            python=_interpreter(command),
            project=service.path,
            preload=service.options_of(HostOptions, self.name).preload if is_call else (),
            environment=command.service_environment if isinstance(command, PythonCall) else inherited(),
            contain=self._contain,
        )
        self._specs[attempt.spool_id, service.name] = service, spec
        return spec

    async def wait(self, attempt: Attempt) -> Exit:
        """Wait until the attempt is over, and return its exit; the attempt is lost if none is recorded."""
        if (exit_ := await self._reported_exit(attempt)) is not None:
            return exit_
        supervisor = SupervisorHandle.of(attempt.folder) or SupervisorHandle.fence(attempt.folder)
        with supervisor.pidfd() as pidfd:
            if pidfd is not None:
                await wait_for_end(pidfd)
        if (exit_ := recorded_exit(attempt)) is not None:
            return exit_
        if supervisor.fenced:
            return Exit(Reason.LOST, detail="the engine ended before it was started")
        if supervisor.kind == "subreaper":
            await asyncio.to_thread(kill_marked, mark(attempt))
        return Exit(Reason.LOST, detail="the process that waited for it was killed, or the machine went down")

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Have the supervisor end its program: SIGTERM, after the grace period SIGKILL.

        A supervisor that does not kill its program in time is killed itself.
        """
        supervisor = SupervisorHandle.of(attempt.folder) or SupervisorHandle.fence(attempt.folder)
        with supervisor.pidfd() as pidfd:
            if pidfd is None:
                return
            for number, timeout in ((SIGTERM, grace), (SIGUSR1, _KILL_TIMEOUT)):
                if recorded_exit(attempt) is not None:
                    return  # the supervisor may run another attempt by now
                send(pidfd, number)
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        if await self._reported_exit(attempt) is None:
                            await wait_for_end(pidfd)
                        return
            send(pidfd, SIGKILL)
            await wait_for_end(pidfd)
        if supervisor.kind == "subreaper":
            await asyncio.to_thread(kill_marked, mark(attempt))

    async def _reported_exit(self, attempt: Attempt) -> Exit | None:
        """Wait while a link may report the exit; return the reported or recorded exit, or None."""
        if (supervised := self._supervised.get(attempt.folder)) is not None:
            await supervised.over.wait()
            self._supervised.pop(attempt.folder, None)
            if supervised.exit_name is not None:
                return exit_of_name(attempt, supervised.exit_name.decode())
        return recorded_exit(attempt)

    def _request(self, attempt: Attempt, command: Command) -> dict[str, Any]:
        """Return the request for a supervisor (treadle_inside/protocol.py)."""
        request: dict[str, Any] = {
            "folder": str(attempt.folder),
            "place": str(attempt.scratch),
            "contain": self._contain,
            "output_limit": output_limit(attempt.service),
            "mounts": () if self._contain == "subreaper" else self._mounts.rows(attempt, command),
        }
        if isinstance(command, PythonCall):
            return request | {
                "project": str(command.project),
                "entrypoint": command.entrypoint,
                "environment": command.attempt_environment,
            }
        workdir = None if command.workdir is None else str(command.workdir)
        return request | {"argv": command.argv, "environment": command.environment, "workdir": workdir}


def _interpreter(command: Command) -> Path:
    """Return the Python of the supervisor: the service's own for a call, ours for any other command."""
    return command.python if isinstance(command, PythonCall) else Path(sys.executable)
