"""The runtime `python-template`: start, wait, stop, over the files that a keeper leaves."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1
from typing import Any, ClassVar

import msgspec
import orjson

from treadle import Attempt, Diagnosis, Exit, Reason, Runtime, Service, ServiceError, StartError, may_pass
from treadle_python.environment import environment, interpreter, mark
from treadle_python.process import Keeper, gone, kill_marked, send

_STARTER = """import sys
sys.path[0] = sys.argv.pop(1)
from treadle_inside.starter import main
del sys.path[0]
main()
"""
_HERE = str(Path(__file__).parent)
_TAKEN = 3
_TROUBLE = 100
_LAST_RESORT = 5.0
"""Seconds that a keeper has to kill its program before it is killed itself."""
_SAID = 2000
"""Characters of what a failing interpreter said."""
_DEFAULT_OUTPUT_LIMIT = 1024**3


class PythonRuntime(Runtime):
    """Calls a service's function in a new process for every execution.

    A starter, a process of the service's interpreter, forks a keeper; that forks the program, and
    outlives this engine. `process.json` in the attempt's folder is the keeper's identity, put down
    exclusively: whoever publishes it first, a keeper or an engine that gives the attempt up, decides
    whether the program runs. `exit.json` is how it ended.
    """

    name: ClassVar[str] = "python-template"
    options: ClassVar = {"output_limit": int}

    def __init__(self, contain: str = "auto") -> None:
        self._contain = contain

    def check(self, service: Service) -> None:
        """Raise ServiceError if the interpreter is missing."""
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
        """Fork a keeper for the attempt, or find the one it has."""
        if Keeper.of(attempt.folder) is not None:
            return
        python = interpreter(attempt.service)
        command = [str(python), "-s", "-c", _STARTER, _HERE]
        try:
            with attempt.stderr.open("ab") as stderr:
                process = subprocess.Popen(  # noqa: ASYNC220  # it returns as soon as the interpreter is executed
                    command,
                    env=environment(attempt, python),
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
        """Wait for the attempt's keeper, and read what it wrote down."""
        keeper = Keeper.of(attempt.folder) or Keeper.fence(attempt.folder)
        with keeper.handle() as pidfd:
            if pidfd is not None:
                await gone(pidfd)
        if (exit_ := _read_exit(attempt)) is not None:
            return exit_
        if keeper.fenced:
            return Exit(Reason.LOST, detail="the engine ended before it was started")
        if keeper.kind == "subreaper":
            await asyncio.to_thread(kill_marked, mark(attempt))
        return Exit(Reason.LOST, detail="the process that waited for it was killed, or the machine went down")

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Have the keeper end its program: SIGTERM, after the grace period SIGKILL."""
        keeper = Keeper.of(attempt.folder) or Keeper.fence(attempt.folder)
        with keeper.handle() as pidfd:
            if pidfd is None:
                return
            for number, patience in ((SIGTERM, grace), (SIGUSR1, _LAST_RESORT)):
                send(pidfd, number)
                if await _gone_within(pidfd, patience):
                    return
            send(pidfd, SIGKILL)
            await gone(pidfd)
        if keeper.kind == "subreaper":
            await asyncio.to_thread(kill_marked, mark(attempt))

    async def _hand_over(self, attempt: Attempt, process: subprocess.Popen[bytes]) -> None:
        """Give the starter its request and wait until it has forked a keeper."""
        assert process.stdin is not None
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()  # it has no request yet
            raise
        try:
            process.stdin.write(self._request(attempt))
            process.stdin.close()
            await gone(pidfd)
        except BrokenPipeError:
            await gone(pidfd)
        except asyncio.CancelledError:
            Keeper.fence(attempt.folder)
            os.killpg(process.pid, SIGKILL)  # its own session; a keeper that has left it has published itself
            raise
        finally:
            os.close(pidfd)
        code = process.wait()
        if code > _TROUBLE:
            raise OSError(code - _TROUBLE, os.strerror(code - _TROUBLE))
        # A keeper that has published itself and was killed before it could answer is for wait() to find.
        if code not in {0, _TAKEN} and Keeper.fence(attempt.folder).fenced:
            said = attempt.stderr.read_text("utf-8", "replace").strip()[-_SAID:]
            raise StartError("PYTHON_NOT_STARTED", f"the interpreter failed before the program began: {said}")

    def _request(self, attempt: Attempt) -> bytes:
        return orjson.dumps(
            {
                "folder": str(attempt.folder),
                "project": str(attempt.service.path),
                "entrypoint": attempt.service.entrypoint,
                "contain": self._contain,
                "output_limit": _output_limit(attempt.service),
            }
        )


class _ExitFile(msgspec.Struct, frozen=True):
    code: int | None
    signal: int | None
    ended: float
    cut: bool


def _read_exit(attempt: Attempt) -> Exit | None:
    try:
        fields = msgspec.json.decode((attempt.folder / "exit.json").read_bytes(), type=_ExitFile)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    error, result = attempt.output / "error.json", attempt.output / "output.json"
    returned = next((path for path in (error, result) if path.exists()), None)
    return Exit(
        Reason.ENDED,
        code=fields.code,
        signal=fields.signal,
        ended=datetime.fromtimestamp(fields.ended, UTC),
        detail=f"its output was cut at {_output_limit(attempt.service)} bytes" if fields.cut else None,
        returned=returned,
        failed=returned == error,
    )


def _output_limit(service: Service) -> int:
    limit: int = service.options.get("output_limit", _DEFAULT_OUTPUT_LIMIT)
    return limit


async def _gone_within(pidfd: int, patience: float) -> bool:
    try:
        async with asyncio.timeout(patience):
            await gone(pidfd)
    except TimeoutError:
        return False
    return True
