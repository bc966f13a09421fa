"""The processes that validate payloads (validation_process.py), from the engine's side."""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import msgspec

from treadle.intake import validation_process
from treadle.intake.subschemas import Json
from treadle.intake.validation_process import Reply, Request

_MOST = 16
"""Processes at a time; a further validation waits for one of them."""
_IDLE = 2
"""Processes that are kept for the next validation."""
_MIB = 1024 * 1024
_KEPT_AFTER = 8 * _MIB
"""Bytes of a payload after which a process is kept: a larger one leaves it with unused memory."""
_PATIENCE = 20.0
"""Seconds on the clock for each second of CPU time that is allowed; only a host that is stuck needs more."""


class TooSlow(Exception):
    """A validation took more CPU time than is allowed."""


class Check(msgspec.Struct, frozen=True):
    """A schema that payloads are validated against by a process."""

    key: str
    """The name of the validator in the processes."""
    name: str
    """The name of the schema."""
    schemas: bytes
    """What the schema may refer to, pickled: they come from YAML, which knows more than JSON."""

    @classmethod
    def of(cls, key: str, name: str, schemas: Json) -> Check:
        """Return the check of a payload against one of a service's schemas."""
        return cls(key, name, pickle.dumps(schemas))


class ValidationPool:
    """The processes of one engine or API process: started when they are needed, and a few are kept.

    `validate` blocks its thread; any number of threads may call it.
    """

    def __init__(self, seconds: float) -> None:
        """Allow so many seconds of CPU time for a payload, and one more for each MiB of it."""
        self._seconds = seconds
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(_MOST)
        self._closed = False

    def validate(self, check: Check, payload: bytes) -> Reply:
        """Return the outcome; raise TooSlow, or OSError if there is no process to be had."""
        seconds = self._seconds + len(payload) / _MIB
        with self._free:
            process = self._take()
            try:
                reply = process.ask(check, payload, seconds)
            except BaseException:
                process.end()
                raise
            self._put_back(process, len(payload))
        return reply

    def close(self) -> None:
        """End the processes; those that are at work end with their work."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    def _take(self) -> _Process:
        """Return a process that is kept, or a new one."""
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return _Process()
            if process.is_alive():
                return process
            process.end()

    def _put_back(self, process: _Process, used: int) -> None:
        """Keep a process for the next validation, unless it has had much in memory."""
        with self._lock:
            if used <= _KEPT_AFTER and len(self._idle) < _IDLE and not self._closed:
                self._idle.append(process)
                return
        process.end()


class _Process:
    """One of the processes, and the socket to it. It ends when the socket is closed."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", validation_process.__name__],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        self._socket = ours
        self._lines = ours.makefile("rb")
        self._known: set[str] = set()

    def is_alive(self) -> bool:
        """Return whether it can be asked."""
        return self._process.poll() is None

    def ask(self, check: Check, payload: bytes, seconds: float) -> Reply:
        """Have it validate a payload; raise TooSlow if the kernel has ended it."""
        schemas = b"" if check.key in self._known else check.schemas
        request = Request(check.key, check.name, len(schemas), len(payload), seconds)
        self._socket.settimeout(_PATIENCE * (1 + seconds))
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended; its exit code says why
            self._socket.sendall(msgspec.json.encode(request) + b"\n" + schemas)
            self._socket.sendall(payload)
            answer = self._lines.readline()
        if answer.endswith(b"\n"):
            self._known.add(check.key)
            return msgspec.json.decode(answer, type=Reply)
        with suppress(subprocess.TimeoutExpired):
            if self._process.wait(_PATIENCE) == -signal.SIGPROF:
                raise TooSlow
        raise OSError(f"the process that validates has ended with {self._process.returncode}")

    def end(self) -> None:
        """End it at once."""
        self._lines.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()
