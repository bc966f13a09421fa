"""The runtime `python-template`: start, wait, stop, over the files that a supervisor leaves."""

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
from treadle_python.supervisor_handle import SupervisorHandle, gone, kill_marked, send
from treadle_python.supervisor_link import STARTED, TAKEN, TRANSIENT_ERROR, SupervisedAttempt

_STARTER = """import sys
sys.path[0] = sys.argv.pop(1)
from treadle_inside.spawn import main
del sys.path[0]
main()
"""
_HERE = str(Path(__file__).parent)
_STARTS = ("fork", "spawn")
_EXIT = re.compile(
    r"exit-(?P<how>code|signal)-(?P<number>\d+)-(?P<moment>\d+)(-(?P<left>returned|error))?(-(?P<cut>cut))?",
    re.ASCII,
)
"""The name that tells how an attempt ended (treadle_inside/supervisor.py)."""
_TAKEN = 3
_TRANSIENT_ERROR = 100
_LAST_RESORT = 5.0
"""Seconds that a supervisor has to kill its program before it is killed itself."""
_SAID = 2000
"""Characters of what a failing interpreter said."""
_DEFAULT_OUTPUT_LIMIT = 1024**3


class PythonRuntime(Runtime):
    """Calls a service's function in a new process for every execution.

    A fork server, or a starter (`start = "spawn"`, or where no server is possible), both processes of
    the service's interpreter, forks a supervisor; that forks the program, and outlives this engine.
    `process.json` in the attempt's folder is the supervisor's identity, put down exclusively: whoever
    publishes it first, a supervisor or an engine that gives the attempt up, decides whether the program
    runs. A second name of that file, `exit-…`, tells how it ended.
    """

    name: ClassVar[str] = "python-template"
    options: ClassVar = {"output_limit": int, "start": str, "preload": list}

    def __init__(self, contain: str = "auto", *, jobs: int = 1, idle: float = 30.0) -> None:
        """Contain programs in `namespace`s, as `subreaper`, or in whichever is possible (`auto`).

        jobs is how many run at a time; fork servers that nobody wants go after idle seconds.
        """
        self._contain = contain
        self._share = max(1, (os.cpu_count() or 1) // jobs)
        """CPUs for each of the jobs that run at a time."""
        self._servers = ForkServers(idle)
        self._specs: dict[tuple[str, str], tuple[Service, ForkServerSpec]] = {}
        self._supervised: dict[Path, SupervisedAttempt] = {}
        """Attempts that a supervisor tells of, by their folders."""

    def check(self, service: Service) -> None:
        """Raise ServiceError if the interpreter is missing, or `start` or `preload` is wrong."""
        if (start := _start(service)) not in _STARTS:
            raise ServiceError(f"{service.path}: start must be one of {', '.join(_STARTS)}, not {start!r}")
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
        """Say which interpreter is used by default; services may have their own."""
        detail = f"Python {platform.python_version()} at {sys.executable}, for services without their own"
        return Diagnosis(f"runtime {self.name}", works=True, detail=detail)

    async def start(self, attempt: Attempt) -> None:
        """Fork a supervisor for the attempt, or find the one it has."""
        if SupervisorHandle.of(attempt.folder) is not None:
            return
        if _start(attempt.service) == "spawn" or not await self._fork(attempt):
            await self._spawn(attempt, interpreter(attempt.service))

    async def close(self) -> None:
        """Let the fork servers go; running programs do not need them."""
        await self._servers.close()

    async def _fork(self, attempt: Attempt) -> bool:
        """Have the service's fork server start the attempt; False if it has to be started without one."""
        spec = self._spec(attempt.service, attempt.spool_id)
        try:
            supervised = await self._servers.start(spec, self._request(attempt))
        except asyncio.CancelledError:
            SupervisorHandle.fence(attempt.folder)
            raise
        if supervised is None:
            return False
        answer = supervised.answer.result()
        if answer[:1] == TRANSIENT_ERROR:
            raise OSError(answer[1], os.strerror(answer[1]))
        if answer == STARTED:
            self._supervised[attempt.folder] = supervised
        elif answer != TAKEN:
            SupervisorHandle.fence(attempt.folder)  # killed: wait() tells which attempt it is
        return True

    def _spec(self, service: Service, spool_id: str) -> ForkServerSpec:
        """Return for what the service's server is made; worked out once for a service as it is."""
        known = self._specs.get((spool_id, service.name))
        if known is not None and known[0] is service:
            return known[1]
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
        """Return how many CPUs the threads of a program's libraries are meant to use."""
        return self._share if service.resources.cpu is None else max(1, int(service.resources.cpu))

    async def _spawn(self, attempt: Attempt, python: Path) -> None:
        """Start an interpreter that forks the supervisor and goes."""
        command = [str(python), "-s", "-c", _STARTER, _HERE]
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
            await self._hand_over(attempt, process)

    async def wait(self, attempt: Attempt) -> Exit:
        """Wait for the attempt's supervisor, and read what it wrote down."""
        if (exit_ := await self._told(attempt)) is not None:
            return exit_
        supervisor = SupervisorHandle.of(attempt.folder) or SupervisorHandle.fence(attempt.folder)
        with supervisor.pidfd() as pidfd:
            if pidfd is not None:
                await gone(pidfd)
        if (exit_ := _read_exit(attempt)) is not None:
            return exit_
        if supervisor.fenced:
            return Exit(Reason.LOST, detail="the engine ended before it was started")
        if supervisor.kind == "subreaper":
            await asyncio.to_thread(kill_marked, mark(attempt))
        return Exit(Reason.LOST, detail="the process that waited for it was killed, or the machine went down")

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Have the supervisor end its program: SIGTERM, after the grace period SIGKILL."""
        supervisor = SupervisorHandle.of(attempt.folder) or SupervisorHandle.fence(attempt.folder)
        with supervisor.pidfd() as pidfd:
            if pidfd is None:
                return
            for number, patience in ((SIGTERM, grace), (SIGUSR1, _LAST_RESORT)):
                if _read_exit(attempt) is not None:
                    return  # its supervisor may have another attempt by now
                send(pidfd, number)
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        if await self._told(attempt) is None:
                            await gone(pidfd)
                        return
            send(pidfd, SIGKILL)
            await gone(pidfd)
        if supervisor.kind == "subreaper":
            await asyncio.to_thread(kill_marked, mark(attempt))

    async def _told(self, attempt: Attempt) -> Exit | None:
        """Wait as long as the supervisor can tell of the end, and return what it wrote down, if it did."""
        if (supervised := self._supervised.get(attempt.folder)) is not None:
            await supervised.over.wait()
            self._supervised.pop(attempt.folder, None)
            if supervised.ended is not None:
                return _exit(attempt, supervised.ended.decode())
        return _read_exit(attempt)

    async def _hand_over(self, attempt: Attempt, process: subprocess.Popen[bytes]) -> None:
        """Give the starter its request and wait until it has forked a supervisor."""
        assert process.stdin is not None
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()  # it has no request yet
            raise
        try:
            process.stdin.write(orjson.dumps(self._request(attempt)))
            process.stdin.close()
            await gone(pidfd)
        except BrokenPipeError:
            await gone(pidfd)
        except asyncio.CancelledError:
            SupervisorHandle.fence(attempt.folder)
            os.killpg(process.pid, SIGKILL)  # its session; a supervisor that left it has published itself
            raise
        finally:
            os.close(pidfd)
        code = process.wait()
        if code > _TRANSIENT_ERROR:
            raise OSError(code - _TRANSIENT_ERROR, os.strerror(code - _TRANSIENT_ERROR))
        # A supervisor that has published itself and was killed before it could answer is for wait() to find.
        if code not in {0, _TAKEN} and SupervisorHandle.fence(attempt.folder).fenced:
            said = attempt.stderr.read_text("utf-8", "replace").strip()[-_SAID:]
            raise StartError("PYTHON_NOT_STARTED", f"the interpreter failed before the program began: {said}")

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


def _read_exit(attempt: Attempt) -> Exit | None:
    """Look for how an attempt has ended; None if nobody has told."""
    try:
        found = (_exit(attempt, name) for name in os.listdir(attempt.folder))  # noqa: PTH208  # names are wanted
        return next(filter(None, found), None)
    except FileNotFoundError:
        return None


def _exit(attempt: Attempt, name: str) -> Exit | None:
    """Return what the name of a file tells of an attempt's end; None if it is not such a file."""
    if (found := _EXIT.fullmatch(name)) is None:
        return None
    number, left = int(found["number"]), found["left"]
    return Exit(
        Reason.ENDED,
        code=number if found["how"] == "code" else None,
        signal=number if found["how"] == "signal" else None,
        ended=datetime.fromtimestamp(int(found["moment"]) / 1000, UTC),
        detail=f"its output was cut at {_output_limit(attempt.service)} bytes" if found["cut"] else None,
        returned=attempt.folder / f"{left}.json" if left else None,
        failed=left == "error",
    )


def _start(service: Service) -> str:
    start: str = service.options.get("start", "fork")
    return start


def _output_limit(service: Service) -> int:
    limit: int = service.options.get("output_limit", _DEFAULT_OUTPUT_LIMIT)
    return limit
