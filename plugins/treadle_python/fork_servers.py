"""The fork servers seen from the engine: made, found again, asked, replaced."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import orjson

from treadle import may_pass
from treadle_python.supervisor_handle import gone
from treadle_python.supervisor_link import OUTDATED, PLAIN, SupervisedAttempt, SupervisorLink

log = logging.getLogger(__name__)

_MAIN = """import sys
sys.path[0] = sys.argv.pop(1)
from treadle_inside.fork_server import main
del sys.path[0]
main()
"""
_HERE = Path(__file__).parent
_BELIEVED = 30.0
"""Seconds after which a server that could not be forked from is tried again: its code may have changed."""
_LARGEST = 128 * 1024
"""Bytes of a request."""
_LONGEST_PRELOAD = 300.0
_TRIES = 4
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
    """One server for each service, and the supervisors that it has forked.

    Servers outlive this engine, and go when nobody has a lease of them. A supervisor that is free waits for
    the next attempt; it goes with this engine, or when there was none for a while.
    """

    def __init__(self, idle: float) -> None:
        """Have servers and supervisors go that nobody has used, or had a lease of, for so many seconds."""
        self._idle = idle
        self._leases: dict[str, socket.socket] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self._links: set[SupervisorLink] = set()
        self._free: defaultdict[str, list[SupervisorLink]] = defaultdict(list)
        """Those whose supervisors have nothing to do, by server; the one that was busy last is the last."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._unfit: dict[str, tuple[str, float]] = {}
        """Servers that can't be forked from: why, which is said once, and until when that is believed."""

    async def start(self, spec: ForkServerSpec, request: Mapping[str, Any]) -> SupervisedAttempt | None:
        """Have a supervisor run an attempt; None where it is to be started without a server."""
        message = orjson.dumps(request)
        if len(message) > _LARGEST:
            return None
        for _ in range(_TRIES):
            link = self._take(spec.name)
            if link is None:
                if not await self._lease(spec):
                    return None
                link = self._call(spec.name)
            supervised = await link.begin(message) if link else None
            if supervised is None or supervised.answer.result() == OUTDATED:
                self._drop(spec.name)
            elif supervised.answer.result() == PLAIN:
                self._say_unfit(spec, "it has started threads, or may not make PID namespaces")
                return None
            else:
                return supervised
        return None

    async def close(self) -> None:
        """Give the leases back; the servers go some time later, unless another engine comes."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for name in list(self._leases):
            self._drop(name)
        for link in self._links:
            link.close()

    def _take(self, name: str) -> SupervisorLink | None:
        """Take a supervisor that is free."""
        while free := self._free[name]:
            link = free.pop()
            if not link.closed:
                return link
        return None

    def _call(self, name: str) -> SupervisorLink | None:
        """Connect to the server, for another supervisor; None if it has gone."""
        connection = _connect(name)
        if connection is None:
            return None
        link = SupervisorLink(connection, partial(self._be_free, name))
        self._links = {link, *(each for each in self._links if not each.closed)}
        return link

    def _be_free(self, name: str, link: SupervisorLink) -> None:
        self._free[name].append(link)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._idle, self._sweep)

    def _sweep(self) -> None:
        """Let those supervisors go that have had nothing to do for a while."""
        loop = asyncio.get_running_loop()
        for free in self._free.values():
            for link in [each for each in free if each.free_since + self._idle <= loop.time()]:
                free.remove(link)
                link.close()
        left = any(self._free.values())
        self._sweeping = loop.call_later(self._idle, self._sweep) if left else None

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
        for link in self._free.pop(name, ()):
            link.close()
        if lease := self._leases.pop(name, None):
            lease.close()


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
