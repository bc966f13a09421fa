"""The runtime `python-template`: it starts, waits for and stops attempts, by the files of a supervisor.

1. start: if process.json exists, the attempt has its supervisor, or a fence: change nothing. Otherwise send
   the request to the service's fork server (fork_servers.py). Where that is impossible or not wanted
   (`start = "spawn"`), start a spawn process, which forks a supervisor and exits.
2. wait: if a supervisor of this engine's links has the attempt, wait for its report. Otherwise open a pidfd
   of the process in process.json, and wait for its end. Then read the exit from the name of a file
   (`exit-...`). Without such a name the attempt is lost.
3. stop: SIGTERM to the supervisor, after the grace period SIGUSR1 (kill all), at last SIGKILL. Before each
   of the first two signals look for the exit, because the supervisor may have its next attempt by then.

The invariant: process.json is published exclusively (identity.py). The first publisher decides whether the
program runs: a supervisor, or an engine that publishes a fence (`SupervisorHandle.fence`). So an attempt that
is given up here is never started later, and many calls of start run one program.
Replies and links only save time. Everything that another engine needs to adopt the attempt is in its folder.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1
from typing import Any, ClassVar

import orjson

from treadle import Attempt, Diagnosis, Exit, Reason, Runtime, Service, ServiceError, StartError, may_pass
from treadle_python.environment import interpreter, mark, of_attempt, of_service
from treadle_python.fork_servers import ForkServers, ForkServerSpec
from treadle_python.supervisor_handle import SupervisorHandle, kill_marked, send, wait_for_end
from treadle_python.supervisor_link import ALREADY_PUBLISHED, STARTED, TRANSIENT_ERROR, SupervisedAttempt

_BOOTSTRAP = """import sys
sys.path[0] = sys.argv.pop(1)
from treadle_inside.spawn import main
del sys.path[0]
main()
"""
_HERE = str(Path(__file__).parent)
_START_METHODS = ("fork", "spawn")
_EXIT_NAME = re.compile(
    r"exit-(?P<how>code|signal)-(?P<number>\d+)-(?P<ended_ms>\d+)(-(?P<result>returned|error))?(-(?P<cut>cut))?",
    re.ASCII,
)
"""The name of a file that records how an attempt ended (treadle_inside/supervisor.py)."""
_EXIT_ALREADY_PUBLISHED = 3
_EXIT_TRANSIENT_ERROR = 100
"""Exit codes of a spawn process (treadle_inside/spawn.py); an errno is added to the second."""
_KILL_TIMEOUT = 5.0
"""Seconds that a supervisor has to kill its program before it is killed itself."""
_MAX_STDERR = 2000
"""Characters of a failing interpreter's stderr that are reported, from its end."""
_DEFAULT_OUTPUT_LIMIT = 1024**3


class PythonRuntime(Runtime):
    """Calls a service's function in a new process for every attempt.

    It lives as long as the engine. Its fork servers, and supervisors with a running program, outlive it;
    another engine adopts the attempts by their folders. A service may set `output_limit`, `start` and
    `preload`.
    """

    name: ClassVar[str] = "python-template"
    options: ClassVar = {"output_limit": int, "start": str, "preload": list}

    def __init__(self, contain: str = "auto", *, jobs: int = 1, idle: float = 30.0) -> None:
        """Contain programs by `namespace`, by `subreaper`, or by the first that is permitted (`auto`).

        jobs is how many run at a time. Fork servers without a lease end after idle seconds.
        """
        self._contain = contain
        self._cpus_per_job = max(1, (os.cpu_count() or 1) // jobs)
        """CPUs for each of the jobs that run at the same time."""
        self._servers = ForkServers(idle)
        self._specs: dict[tuple[str, str], tuple[Service, ForkServerSpec]] = {}
        self._supervised: dict[Path, SupervisedAttempt] = {}
        """The attempts whose exit a supervisor of this engine reports, by folder."""

    def check(self, service: Service) -> None:
        """Raise ServiceError if the interpreter is missing, or `start` or `preload` is wrong."""
        if (start := _start_method(service)) not in _START_METHODS:
            methods = ", ".join(_START_METHODS)
            raise ServiceError(f"{service.path}: start must be one of {methods}, not {start!r}")
        if not all(isinstance(name, str) for name in service.options.get("preload", ())):
            raise ServiceError(f"{service.path}: preload must be a list of the names of modules")
        try:
            interpreter(service)
        except StartError as error:
            raise ServiceError(f"{service.path}: {error}") from error

    def limits(self, service: Service) -> dict[str, Any]:
        """Return the output limit."""
        return {"output": _output_limit(service)}

    async def diagnose(self) -> Diagnosis:
        """Report which interpreter is used by default; services may have their own."""
        detail = f"Python {platform.python_version()} at {sys.executable}, for services without their own"
        return Diagnosis(f"runtime {self.name}", works=True, detail=detail)

    async def start(self, attempt: Attempt) -> None:
        """Start a supervisor for the attempt, unless process.json exists. Idempotent."""
        if SupervisorHandle.of(attempt.folder) is not None:
            return
        if _start_method(attempt.service) == "spawn" or not await self._fork(attempt):
            await self._spawn(attempt, interpreter(attempt.service))

    async def close(self) -> None:
        """Close the leases of the fork servers and the links; running programs go on."""
        await self._servers.close()

    async def _fork(self, attempt: Attempt) -> bool:
        """Start the attempt by the service's fork server; return False if it needs a spawn process.

        Raises OSError at a transient error. A cancelled call publishes a fence.
        """
        spec = self._spec(attempt.service, attempt.spool_id)
        try:
            supervised = await self._servers.start(spec, self._request(attempt))
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

    def _spec(self, service: Service, spool_id: str) -> ForkServerSpec:
        """Return the specification of the service's server; it is cached until the service changes."""
        cached = self._specs.get((spool_id, service.name))
        if cached is not None and cached[0] is service:
            return cached[1]
        python = interpreter(service)
        spec = ForkServerSpec(
            spool_id=spool_id,
            service=service.name,
            python=python,
            project=service.path,
            preload=tuple(service.options.get("preload", ())),
            environment=of_service(service, python, self._cpus(service)),
            contain=self._contain,
        )
        self._specs[spool_id, service.name] = service, spec
        return spec

    def _cpus(self, service: Service) -> int:
        """Return the number of CPUs that the threads of a program's libraries should use."""
        return self._cpus_per_job if service.resources.cpu is None else max(1, int(service.resources.cpu))

    async def _spawn(self, attempt: Attempt, python: Path) -> None:
        """Start a spawn process and wait until it has forked the supervisor. Raises StartError or OSError."""
        command = [str(python), "-s", "-c", _BOOTSTRAP, _HERE]
        environment = of_service(attempt.service, python, self._cpus(attempt.service))
        try:
            with attempt.stderr.open("ab") as stderr:
                process = subprocess.Popen(  # noqa: ASYNC220  # it returns as soon as the interpreter is executed
                    command,
                    env={**environment, **of_attempt(attempt)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
        except OSError as error:
            if may_pass(error):
                raise
            raise StartError("PYTHON_NOT_STARTED", f"{python} can't be started: {error.strerror}") from error
        with process:
            await self._send_request(attempt, process)

    async def wait(self, attempt: Attempt) -> Exit:
        """Wait until the attempt is over, and return its exit; the attempt is lost if none is recorded."""
        if (exit_ := await self._reported_exit(attempt)) is not None:
            return exit_
        supervisor = SupervisorHandle.of(attempt.folder) or SupervisorHandle.fence(attempt.folder)
        with supervisor.pidfd() as pidfd:
            if pidfd is not None:
                await wait_for_end(pidfd)
        if (exit_ := _recorded_exit(attempt)) is not None:
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
                if _recorded_exit(attempt) is not None:
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
                return _parse_exit_name(attempt, supervised.exit_name.decode())
        return _recorded_exit(attempt)

    async def _send_request(self, attempt: Attempt, process: subprocess.Popen[bytes]) -> None:
        """Send the spawn process its request, and wait until it exits; its exit code is the reply."""
        assert process.stdin is not None
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()  # it has no request, so it has forked no supervisor
            raise
        try:
            process.stdin.write(orjson.dumps(self._request(attempt)))
            process.stdin.close()
            await wait_for_end(pidfd)
        except BrokenPipeError:
            await wait_for_end(pidfd)
        except asyncio.CancelledError:
            SupervisorHandle.fence(attempt.folder)
            os.killpg(process.pid, SIGKILL)  # its session; a supervisor outside has published, or can't
            raise
        finally:
            os.close(pidfd)
        code = process.wait()
        if code > _EXIT_TRANSIENT_ERROR:
            raise OSError(code - _EXIT_TRANSIENT_ERROR, os.strerror(code - _EXIT_TRANSIENT_ERROR))
        # A supervisor that was killed after it published and before it replied is left for wait().
        if code not in {0, _EXIT_ALREADY_PUBLISHED} and SupervisorHandle.fence(attempt.folder).fenced:
            stderr = attempt.stderr.read_text("utf-8", "replace").strip()[-_MAX_STDERR:]
            raise StartError(
                "PYTHON_NOT_STARTED", f"the interpreter failed before the program began: {stderr}"
            )

    def _request(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "folder": str(attempt.folder),
            "place": str(attempt.scratch),
            "project": str(attempt.service.path),
            "entrypoint": attempt.service.entrypoint,
            "contain": self._contain,
            "output_limit": _output_limit(attempt.service),
            "environment": of_attempt(attempt),
        }


def _recorded_exit(attempt: Attempt) -> Exit | None:
    """Return the exit that is recorded in the attempt's folder, or None."""
    try:
        names = os.listdir(attempt.folder)  # noqa: PTH208  # names are wanted
        return next(filter(None, (_parse_exit_name(attempt, name) for name in names)), None)
    except FileNotFoundError:
        return None


def _parse_exit_name(attempt: Attempt, name: str) -> Exit | None:
    """Return the exit that a file's name records; None for the name of any other file."""
    if (match := _EXIT_NAME.fullmatch(name)) is None:
        return None
    number, result = int(match["number"]), match["result"]
    return Exit(
        Reason.ENDED,
        code=number if match["how"] == "code" else None,
        signal=number if match["how"] == "signal" else None,
        ended=datetime.fromtimestamp(int(match["ended_ms"]) / 1000, UTC),
        detail=f"its output was cut at {_output_limit(attempt.service)} bytes" if match["cut"] else None,
        returned=attempt.folder / f"{result}.json" if result else None,
        failed=result == "error",
    )


def _start_method(service: Service) -> str:
    method: str = service.options.get("start", "fork")
    return method


def _output_limit(service: Service) -> int:
    limit: int = service.options.get("output_limit", _DEFAULT_OUTPUT_LIMIT)
    return limit
