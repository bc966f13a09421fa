"""The runtime `host`: it starts, waits for and stops commands on this host, by the files of a supervisor.

1. start: if process.json exists, the attempt has its supervisor, or a fence: change nothing. Otherwise kill
   what an earlier engine may have started: a program without a mount namespace can remove that file. Send
   the request to the service's fork server (fork_servers.py). Where that is impossible or not wanted
   (`start = "spawn"`), start a spawn process, which forks a supervisor and exits (spawning.py). The program
   of a PythonCall is the forked process itself; for any other command that process becomes the executable.
2. wait: if a supervisor of this engine's links has the attempt, wait for its report. Otherwise open a pidfd
   of the process in process.json, and wait for its end. Then read the exit from the name of a file
   (`exit-...`). Without such a name the attempt is lost; after a restart of the host also without a durable
   one (exits.py).
3. stop: SIGTERM to the supervisor, after the grace period SIGUSR1 (kill all), at last SIGKILL. Before each
   signal see whether the link has reported the exit: the supervisor may have its next attempt by then. One
   without a link never has another attempt. What is in the folder does not matter here: a program without a
   mount namespace may write an exit, and it must be stopped all the same.

The invariant: process.json is published exclusively (identity.py). The first publisher decides whether the
program runs: a supervisor, or an engine that publishes a fence (`SupervisorHandle.fence`). So an attempt that
is given up here is never started later, and many calls of start run one program.
Replies and links only save time. Everything that another engine needs to adopt the attempt is in its folder.

Dropped: to wait for the end of the supervisor's process alone, and to send signals without a look at the
report, since a supervisor lives on for its next attempt. The exit in a file of its own (identity.py). To kill
only the spawn process, and not its session, when a start is cancelled (spawning.py).
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from contextlib import suppress
from signal import SIGCONT, SIGKILL, SIGTERM, SIGUSR1
from typing import Any, ClassVar

from treadle import Attempt, Command, Diagnosis, Exit, Reason, Runtime, Service
from treadle_python import host_mounts
from treadle_python.environment import mark
from treadle_python.exits import NOT_DURABLE, exit_of_name, output_limit, recorded_exit
from treadle_python.fork_servers import ForkServers
from treadle_python.leftovers import Leftovers, kill_marked
from treadle_python.mount_table import MountTable
from treadle_python.options import HostOptions
from treadle_python.requests import request_of
from treadle_python.server_specs import ServerSpecs, interpreter_of
from treadle_python.spawning import spawn
from treadle_python.supervisor_handle import SupervisorHandle, send, wait_for_end
from treadle_python.supervisor_link import SupervisedAttempt
from treadle_python.treadle_inside.protocol import ALREADY_PUBLISHED, TRANSIENT_ERROR

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
        self._leftovers = Leftovers()
        self._mounts = MountTable()
        self._servers = ForkServers(idle)
        self._specs = ServerSpecs(contain, self._servers.drop)
        self._supervised: dict[tuple[str, str], tuple[int, SupervisedAttempt]] = {}
        """The attempts that this engine has started and not cleaned up, by spool and job: the number of the
        last one, and what its supervisor reports."""

    def check(self, service: Service) -> None:
        """Raise ServiceError if an option is wrong."""
        service.options_of(HostOptions, self.name)

    def release(self, service: Service) -> None:
        """Let the service's fork server go; it ends when it is idle, and its supervisors after their jobs."""
        for spec in self._specs.take(service):
            self._servers.drop(spec.name)

    def limits(self, service: Service) -> dict[str, Any]:
        """Return the output limit."""
        return {"output": output_limit(service)}

    async def diagnose(self) -> Diagnosis:
        """Report which interpreter is used by default, and what a job does to this host's mounts."""
        detail = f"Python {platform.python_version()} at {sys.executable}, for services without their own"
        remedy = ""
        if not host_mounts.follows_unmounts():
            detail, remedy = f"{detail}\n{host_mounts.BUSY}", host_mounts.REMEDY
        return Diagnosis(f"runtime {self.name}", works=True, detail=detail, remedy=remedy)

    async def start(self, attempt: Attempt, command: Command) -> None:
        """Start a supervisor for the attempt, unless process.json exists. Idempotent."""
        if SupervisorHandle.of(attempt.folder) is not None or self._has_begun(attempt):
            return
        if not await self._leftovers.end(attempt):
            return
        request = request_of(attempt, command, self._contain, self._mounts)
        supervised = None
        by_server = attempt.service.options_of(HostOptions, self.name).start != "spawn"
        if not by_server or not await self._fork(attempt, command, request):
            supervised = await spawn(attempt, interpreter_of(command), command.environment, request)
        if supervised is not None:
            self._supervised[_key(attempt)] = attempt.number, supervised

    async def close(self) -> None:
        """Close the leases of the fork servers and the links; running programs go on."""
        await self._servers.close()
        for _, supervised in self._supervised.values():
            supervised.close()

    async def _fork(self, attempt: Attempt, command: Command, request: dict[str, Any]) -> bool:
        """Start the attempt by the service's fork server; return False if it needs a spawn process.

        Raises OSError at a transient error. A cancelled call publishes a fence.
        """
        spec = self._specs.of(attempt, command)
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
        if supervised.begun:
            self._supervised[_key(attempt)] = attempt.number, supervised
        elif reply != ALREADY_PUBLISHED:
            SupervisorHandle.fence(attempt.folder)  # it was killed: wait() sees whether it had published
        return True

    async def wait(self, attempt: Attempt) -> Exit:
        """Wait until the attempt is over, and return its exit; the attempt is lost if none is recorded."""
        if (exit_ := await self._reported_exit(attempt)) is not None:
            return exit_
        supervisor = self._supervisor(attempt)
        with supervisor.pidfd() as pidfd:
            if pidfd is not None:
                await wait_for_end(pidfd)
        await self._kill_what_is_left(attempt, supervisor)
        if supervisor.fenced:
            return Exit(Reason.LOST, detail="the engine ended before it was started")
        if (exit_ := await asyncio.to_thread(recorded_exit, attempt)) is not None:
            return exit_
        if not supervisor.of_this_boot:
            return Exit(Reason.LOST, detail=NOT_DURABLE)
        return Exit(Reason.LOST, detail="the process that waited for it was killed")

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Have the supervisor end its program: SIGTERM, after the grace period SIGKILL.

        A supervisor that does not kill its program in time is killed itself.
        """
        supervisor = self._supervisor(attempt)
        with supervisor.pidfd() as pidfd:
            if pidfd is not None:
                await self._signal(attempt, pidfd, grace)
        await self._kill_what_is_left(attempt, supervisor)

    async def cleanup(self, attempt: Attempt) -> None:
        """Forget the attempt, and let a supervisor go that stays for this attempt alone."""
        _, supervised = self._supervised.pop(_key(attempt), (0, None))
        if supervised is not None:
            supervised.close()

    async def _signal(self, attempt: Attempt, pidfd: int, grace: float) -> None:
        """Send one signal after the other until the attempt is over."""
        for number, timeout in ((SIGTERM, grace), (SIGUSR1, _KILL_TIMEOUT), (SIGKILL, None)):
            if self._has_ended(attempt):
                return  # the supervisor may run another attempt by now
            send(pidfd, number)
            send(pidfd, SIGCONT)  # its program may have stopped it
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    if await self._reported_exit(attempt) is None:
                        await wait_for_end(pidfd)
                    return

    async def _kill_what_is_left(self, attempt: Attempt, supervisor: SupervisorHandle) -> None:
        """Kill the program's processes that outlive their supervisor, or whose supervisor nobody knows."""
        unknown = supervisor.damaged or supervisor.fenced  # a program may have removed who it was
        if unknown or (supervisor.kind == "subreaper" and not self._has_ended(attempt)):
            await asyncio.to_thread(kill_marked, mark(attempt))

    def _supervisor(self, attempt: Attempt) -> SupervisorHandle:
        """Return who runs the attempt: as it has told us, else as it is published, else a fence."""
        if (supervised := self._supervised_attempt(attempt)) is not None and supervised.identity:
            return SupervisorHandle.decode(supervised.identity)
        return SupervisorHandle.of(attempt.folder) or SupervisorHandle.fence(attempt.folder)

    def _supervised_attempt(self, attempt: Attempt) -> SupervisedAttempt | None:
        number, supervised = self._supervised.get(_key(attempt), (0, None))
        return supervised if number == attempt.number else None

    def _has_begun(self, attempt: Attempt) -> bool:
        """Return whether this engine has begun the attempt; its program may have removed process.json."""
        supervised = self._supervised_attempt(attempt)
        return supervised is not None and supervised.begun

    def _has_ended(self, attempt: Attempt) -> bool:
        """Return whether the attempt's supervisor has reported the exit over its link."""
        supervised = self._supervised_attempt(attempt)
        return supervised is not None and supervised.exit_name is not None

    async def _reported_exit(self, attempt: Attempt) -> Exit | None:
        """Wait while a link may report the exit; return the exit, or None if it was not reported."""
        if (supervised := self._supervised_attempt(attempt)) is None:
            return None
        await supervised.over.wait()
        return None if supervised.exit_name is None else exit_of_name(attempt, supervised.exit_name.decode())


def _key(attempt: Attempt) -> tuple[str, str]:
    return attempt.spool_id, attempt.job.id
