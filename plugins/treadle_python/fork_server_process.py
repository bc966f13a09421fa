"""A fork server's process as the engine sees it: what it is made for, its address, its start."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from treadle import may_pass
from treadle_python.bootstrap import HERE, bootstrap
from treadle_python.supervisor_handle import wait_for_end
from treadle_python.treadle_inside.peer import is_trusted

_LANGUAGE = 2
"""Counted up when a server of an earlier version does not understand our requests; it has another name."""
_PRELOAD_TIMEOUT = 300.0
"""Seconds that a server has to import what it preloads."""


@dataclass(frozen=True, slots=True)
class Report:
    """A new server's report."""

    ready: bool
    problem: str | None = None


@dataclass(frozen=True)
class ForkServerSpec:
    """Everything that a server is made for; a server with another specification is another server."""

    spool_id: str
    service: str
    python: Path
    project: Path
    preload: tuple[str, ...]
    environment: Mapping[str, str]
    """The environment variables of the server, and so of the preloaded modules."""
    contain: str
    files: int
    """The soft limit of open files."""

    @cached_property
    def name(self) -> str:
        """The server's address in the kernel's namespace of abstract sockets."""
        specification = orjson.dumps(
            [
                _LANGUAGE,
                str(Path("/proc/self/ns/pid").readlink()),  # a server of another one would refuse us
                self.spool_id,
                self.service,
                str(self.python),
                str(self.project),
                self.preload,
                sorted(self.environment.items()),
                self.contain,
                self.files,
                os.geteuid(),
                str(HERE),
            ]
        )
        return f"treadle/{hashlib.sha256(specification).hexdigest()[:40]}"

    def setup(self, idle: float) -> dict[str, Any]:
        """Return the setup that the process reads first; the server ends after idle seconds without use."""
        return {
            "name": self.name,
            "contain": self.contain,
            "preload": self.preload,
            "project": str(self.project),
            "idle": idle,
            "files": self.files,
        }


async def start_server(spec: ForkServerSpec, idle: float) -> Report:
    """Start a server, and return its report as soon as it is ready, or can't be. Raises transient errors."""
    try:
        with subprocess.Popen(  # noqa: ASYNC220  # it returns as soon as the interpreter is executed
            [str(spec.python), *bootstrap("fork_server")],
            env=dict(spec.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            return Report(**await _set_up(process, spec.setup(idle)))
    except OSError as error:
        if may_pass(error):
            raise
        return Report(ready=False, problem=f"{spec.python} can't be started: {error.strerror}")


async def _set_up(process: subprocess.Popen[bytes], setup: Mapping[str, Any]) -> dict[str, Any]:
    """Send a new process its setup, wait until it exits, and return its report.

    The process exits when it has forked the server. It is killed after a timeout, or if this is cancelled.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(orjson.dumps(setup))
            process.stdin.close()
        async with asyncio.timeout(_PRELOAD_TIMEOUT):
            await wait_for_end(pidfd)
    except TimeoutError:
        process.kill()
        return {"ready": False, "problem": f"preload took longer than {_PRELOAD_TIMEOUT:g} s"}
    except BaseException:
        process.kill()
        raise
    finally:
        os.close(pidfd)
    os.set_blocking(process.stdout.fileno(), False)  # a process that a module has started may hold the pipe
    try:
        report: dict[str, Any] = orjson.loads(process.stdout.read() or b"")
    except orjson.JSONDecodeError:
        report = {"ready": False, "problem": "the interpreter failed before it was ready"}
    return report


def connect(name: str) -> socket.socket | None:
    """Connect to a server; None if there is none, or another user or a program has its name."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    with suppress(OSError):
        connection.connect(b"\0" + name.encode())
        if is_trusted(connection, (os.geteuid(),)):
            return connection
    connection.close()
    return None


def is_listening(name: str) -> bool:
    """Return whether a server of this user listens at the name."""
    connection = connect(name)
    if connection is not None:
        connection.close()
    return connection is not None
