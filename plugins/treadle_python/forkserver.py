"""The fork servers seen from the engine: made, found again, asked, replaced."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from treadle import may_pass
from treadle_python.process import gone

log = logging.getLogger(__name__)

_MAIN = """import sys
sys.path[0] = sys.argv.pop(1)
from treadle_inside.forkserver import main
del sys.path[0]
main()
"""
_HERE = Path(__file__).parent
_BELIEVED = 30.0
"""Seconds after which a server that could not be forked from is tried again: its code may have changed."""
_PATIENCE = 60.0
"""Seconds that a server has to fork a keeper."""
_LONGEST_PRELOAD = 300.0
_TRIES = 3
"""How often a server is asked or made for one request: it may go, or be replaced, at any moment."""


@dataclass(frozen=True, slots=True)
class _Ready:
    ready: bool
    problem: str | None = None


@dataclass(frozen=True)
class ForkServerSpec:
    """For what a server is made; one that was made for something else is another server."""

    spool_id: str
    service: str
    python: Path
    project: Path
    preload: tuple[str, ...]
    environment: Mapping[str, str]
    """What is around the preloaded modules."""
    contain: str

    @cached_property
    def name(self) -> str:
        """The server's address in the kernel's namespace of abstract sockets."""
        made_for = orjson.dumps(
            [
                self.spool_id,
                self.service,
                str(self.python),
                str(self.project),
                self.preload,
                sorted(self.environment.items()),
                self.contain,
                os.geteuid(),
                str(_HERE),
            ]
        )
        return f"treadle/{hashlib.sha256(made_for).hexdigest()[:40]}"


class ForkServers:
    """One server for each service. They outlive this engine, and go when nobody has a lease of them."""

    def __init__(self, idle: float) -> None:
        """Have servers go that nobody has used, or had a lease of, for so many seconds."""
        self._idle = idle
        self._leases: dict[str, socket.socket] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self._unfit: dict[str, tuple[str, float]] = {}
        """Servers that can't be forked from: why, which is said once, and until when that is believed."""

    async def start(self, spec: ForkServerSpec, request: Mapping[str, Any]) -> bytes | None:
        """Have a keeper forked and return its answer; None where the job is to be started without a server.

        The answer is empty if nobody can tell whether a keeper was forked.
        """
        message = orjson.dumps(request)
        for _ in range(_TRIES):
            if not await self._lease(spec):
                return None
            connection = _connect(spec.name)
            if connection is None:
                self._drop(spec.name)
                continue
            with connection:
                try:
                    connection.send(message)
                except OSError as error:
                    if error.errno == errno.EMSGSIZE:
                        return None
                    self._drop(spec.name)
                    continue
                answer = await _answer(connection)
            if answer == b"p":
                self._say_unfit(spec, "it has started threads, or may not make PID namespaces")
                return None
            if answer != b"o":
                return answer
            self._drop(spec.name)
        return None

    async def close(self) -> None:
        """Give the leases back; the servers go some time later, unless another engine comes."""
        for name in list(self._leases):
            self._drop(name)

    async def _lease(self, spec: ForkServerSpec) -> bool:
        """See to it that there is a server and that it stays; False if there can't be one."""
        if spec.name in self._leases:
            return True
        if time.monotonic() < self._unfit.get(spec.name, ("", 0.0))[1]:
            return False
        async with self._making.setdefault(spec.name, asyncio.Lock()):
            for _ in range(_TRIES):
                if spec.name in self._leases:
                    return True
                lease = _connect(spec.name)
                if lease is not None:
                    lease.send(b"lease")
                    self._leases[spec.name] = lease
                    return True
                if not await self._make(spec):
                    return False
        return False

    async def _make(self, spec: ForkServerSpec) -> bool:
        """Start a server and wait until it is ready; False if it can't be forked from."""
        try:
            with subprocess.Popen(  # noqa: ASYNC220  # it returns as soon as the interpreter is executed
                [spec.python, "-s", "-c", _MAIN, _HERE],
                env=dict(spec.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as process:
                told = _Ready(**await _outcome(process, self._setup(spec)))
        except OSError as error:
            if may_pass(error):
                raise
            told = _Ready(ready=False, problem=f"{spec.python} can't be started: {error.strerror}")
        if told.ready and told.problem is None:
            return True
        if _connect_again(spec.name):
            return True  # another engine's process was first
        self._say_unfit(spec, told.problem or "nobody knows why")
        return False

    def _setup(self, spec: ForkServerSpec) -> dict[str, Any]:
        return {
            "name": spec.name,
            "contain": spec.contain,
            "preload": spec.preload,
            "project": str(spec.project),
            "idle": self._idle,
        }

    def _say_unfit(self, spec: ForkServerSpec, problem: str) -> None:
        if self._unfit.get(spec.name, ("", 0.0))[0] != problem:
            log.warning("jobs of service %s are started without a fork server: %s", spec.service, problem)
        self._unfit[spec.name] = (problem, time.monotonic() + _BELIEVED)

    def _drop(self, name: str) -> None:
        if lease := self._leases.pop(name, None):
            lease.close()


async def _answer(connection: socket.socket) -> bytes:
    """Return what a keeper says; nothing if it, or its server, has gone or does not answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.get_running_loop().sock_recv(connection, 16)
    return b""


async def _outcome(process: subprocess.Popen[bytes], setup: Mapping[str, Any]) -> dict[str, Any]:
    """Give a new process its setup, wait until it has made the server, and return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(orjson.dumps(setup))
            process.stdin.close()
        async with asyncio.timeout(_LONGEST_PRELOAD):
            await gone(pidfd)
    except TimeoutError:
        process.kill()
        return {"ready": False, "problem": f"preload took longer than {_LONGEST_PRELOAD:g} s"}
    except BaseException:
        process.kill()
        raise
    finally:
        os.close(pidfd)
    try:
        told: dict[str, Any] = orjson.loads(process.stdout.read())
    except orjson.JSONDecodeError:
        told = {"ready": False, "problem": "the interpreter failed before it was ready"}
    return told


def _connect(name: str) -> socket.socket | None:
    """Connect to a server of this user, or return None."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    try:
        connection.connect(b"\0" + name.encode())
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        connection.close()
        return None
    if int.from_bytes(credentials[4:8], "little") != os.geteuid():
        connection.close()
        return None
    return connection


def _connect_again(name: str) -> bool:
    """Say whether somebody listens."""
    connection = _connect(name)
    if connection is not None:
        connection.close()
    return connection is not None
