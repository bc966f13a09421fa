"""The processes that decode large jobs and validate payloads, from the engine's side."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import msgspec

from treadle.intake import validation_process
from treadle.intake.composing import Source
from treadle.intake.subschemas import Json
from treadle.intake.validation_process import (
    Compose,
    Composed,
    Reply,
    Request,
    Rest,
    Rested,
    Validate,
)

Answer = TypeVar("Answer")

_MOST = 16
"""Processes at a time; a further validation waits for one of them."""
_IDLE = 2
"""Processes that are kept for the next validation."""
_MIB = 1024 * 1024
_MUCH = _MIB
"""Bytes of a payload after which a process is asked how much memory it has."""
_KEPT_WITH = 128 * _MIB
"""Bytes of memory up to which a process is kept; without a payload it has 50 MiB."""
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(_MIB), "MALLOC_TRIM_THRESHOLD_": str(_MIB)}
"""Have glibc give memory back at once; by itself it keeps the more, the more was used."""
_PATIENCE = 20.0
"""Seconds on the clock for each second of CPU time that is allowed; only a host that is stuck needs more."""
HOW_TO_MEND = "make it simpler, or raise the engine's setting `validation_seconds`"


class TooSlow(Exception):
    """The work took more CPU time than is allowed."""


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
        """Return the check of a payload against one of a service's schemas.

        The key is extended by the schemas' digest: a process keeps the validators of those that were changed.
        """
        pickled = pickle.dumps(schemas)
        return cls(f"{key}/{hashlib.sha256(pickled).hexdigest()[:16]}", name, pickled)


class ValidationPool:
    """The processes of one engine or API process: started when they are needed, and a few are kept.

    `process` blocks its thread; any number of threads may call it.
    """

    def __init__(self, seconds: float) -> None:
        """Allow so many seconds of CPU time for a request, and one more for each MiB of its payload."""
        self._seconds = seconds
        self._idle: list[Process] = []
        self._lent: set[Process] = set()
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(_MOST)
        self._closed = False

    @contextmanager
    def process(self, size: int) -> Iterator[Process]:
        """Lend a process for the work on so many bytes; raise OSError if there is none to be had."""
        with self._free:
            process = self._take()
            process.seconds = self._seconds + size / _MIB
            with self._lock:
                if self._closed:
                    process.kill()
                self._lent.add(process)
            try:
                yield process
            finally:
                with self._lock:
                    self._lent.discard(process)
                self._put_back(process, size)

    def close(self) -> None:
        """End all processes; who waits for the answer of one, or for one, gets an OSError."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for process in self._lent:
                process.kill()
        for process in idle:
            process.end()

    def _take(self) -> Process:
        """Return a process that is kept, or a new one."""
        while True:
            with self._lock:
                if self._closed:
                    raise OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))
                process = self._idle.pop() if self._idle else None
            if process is None:
                return Process()
            if process.is_alive():
                return process
            process.end()

    def _put_back(self, process: Process, used: int) -> None:
        """Keep a process for the next work, unless it has failed, or has much in memory."""
        with suppress(TooSlow, OSError):
            if not process.failed and (used <= _MUCH or process.memory() <= _KEPT_WITH):
                with self._lock:
                    if len(self._idle) < _IDLE and not self._closed:
                        self._idle.append(process)
                        return
        process.end()


class Process:
    """One of the processes, and the socket to it. It ends when the socket is closed."""

    seconds = 0.0
    """The CPU time that is allowed for each request."""
    failed = False
    """Whether it did not answer a request, so that it can be asked no more."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", validation_process.__name__],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, **_ENVIRONMENT},
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

    def validate(self, check: Check, payload: bytes | str) -> Reply:
        """Have it validate a payload, or the one of that name of the job that it has composed last.

        Raises TooSlow, or OSError if it has ended for another reason.
        """
        schemas = b"" if check.key in self._known else check.schemas
        content, size = (b"", payload) if isinstance(payload, str) else (payload, len(payload))
        request = Validate(check.key, check.name, len(schemas), size, self.seconds)
        reply = self._ask(Reply, request, schemas, content)
        self._known.add(check.key)
        return reply

    def compose(self, source: Source, draft: str | None, size: int) -> Composed:
        """Have it write a job's file, if there is to be one; raises as `validate` does."""
        return self._ask(Composed, Compose(source, draft, size, self.seconds))

    def memory(self) -> int:
        """Have it forget the last job, and return its memory in bytes; raises as `validate` does."""
        return self._ask(Rested, Rest()).memory

    def _ask(
        self, kind: type[Answer], request: Request, schemas: bytes = b"", payload: bytes = b""
    ) -> Answer:
        self.failed = True
        self._socket.settimeout(_PATIENCE * (1 + self.seconds))
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended; its exit code says why
            self._socket.sendall(msgspec.json.encode(request) + b"\n" + schemas)
            self._socket.sendall(payload)
            answer = self._lines.readline()
        if answer.endswith(b"\n"):
            self.failed = False
            return msgspec.json.decode(answer, type=kind)
        with suppress(subprocess.TimeoutExpired):
            if self._process.wait(_PATIENCE) == -signal.SIGPROF:
                raise TooSlow
        raise OSError(f"the process that validates has ended with {self._process.returncode}")

    def kill(self) -> None:
        """Have it end at once, whoever waits for its answer; `end` comes later."""
        self._process.kill()

    def end(self) -> None:
        """End it at once."""
        self._lines.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()
