"""The process in which large jobs are decoded and payloads validated, and the words that it is spoken to in.

It serves one request after the other, on the socket that is its standard input, until the socket is closed.
The engine's side is validation_pool.py.

1. The engine sends a line of JSON (`Compose`, `Validate` or `Rest`). After that come the schemas if the
   request has some, and the payload unless it is the one of the job that was composed last.
2. The process sets a timer to the CPU time that is allowed (ITIMER_PROF), and a limit to its memory.
3. It answers with a line of JSON (`Composed`, `Reply` or `Rested`).

If the time is over, the kernel ends the process: also inside of a regular expression, where Python does not
come to handle signals. The memory limit (RLIMIT_DATA) is a MemoryError, which is answered. CPU time and not
time on the clock: an honest payload is not refused because the host is busy.

A process for each validation was tried: an interpreter with jsonschema takes 0.2 s to start.
"""

from __future__ import annotations

import pickle
import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec
from jsonschema.protocols import Validator

from treadle.intake.composing import Source
from treadle.intake.posted import LargeFile
from treadle.intake.validating import Fault, find_fault, make_validator
from treadle_spool import EMPTY, Accepted, SpoolError
from treadle_spool.draft import Draft
from treadle_spool.dropped import Unfinished

_BASE_MEMORY = 192 * 1024 * 1024
_MEMORY_PER_BYTE = 8
"""Bytes that a request may use, and for each byte of the payload; a parsed list of numbers needs 8."""
_OOM_SCORE = "500"
"""The kernel ends this process before the engine if the host's memory runs out."""
NO_MEMORY = "checking it against the service's schema takes more memory than is allowed"
UNFINISHED = "UNFINISHED"
"""The code of a dropped file that has changed meanwhile."""
LARGE_FILE = "LARGE_FILE"
"""The code of a body that refers to a file of a data pool, which needs more time and memory."""
MEMORY = "MEMORY"
"""The code of a job that takes more memory than is allowed."""


class Compose(msgspec.Struct, frozen=True, tag="compose"):
    """Decode what a client has sent, and write it as a job's file."""

    source: Source
    draft: str | None
    """The path of the new file; None if there is to be none."""
    size: int
    """The length of what is read."""
    seconds: float
    """The CPU time that is allowed."""


class Validate(msgspec.Struct, frozen=True, tag="validate"):
    """Validate a payload against a schema; the bytes of the schemas and of the payload follow."""

    key: str
    """The name of the validator: the process keeps the validators that it has made."""
    name: str
    """The schema that the payload has to fit."""
    schemas: int
    """The length of the pickled schemas; 0 if the process has made this validator before."""
    payload: int | str
    """The length of the payload in bytes, or the name of that of the job that was composed last."""
    seconds: float
    """The CPU time that is allowed."""


class Rest(msgspec.Struct, frozen=True, tag="rest"):
    """Forget the last job: none of its payloads will be asked for."""


class Composed(msgspec.Struct, frozen=True):
    """The outcome of Compose: the job, or why there is none."""

    job: str = ""
    """The job without its payload, as JSON."""
    code: str | None = None
    """The code of a SpoolError, or one of those above."""
    detail: str = ""
    path: str | None = None
    number: int | None = None
    """The errno of an OSError, or the size of the large file."""


class Reply(msgspec.Struct, frozen=True):
    """The outcome of Validate: both are None if the payload fits."""

    detail: str | None = None
    path: str | None = None


class Rested(msgspec.Struct, frozen=True):
    """The outcome of Rest."""

    memory: int
    """Bytes of memory that the process has for itself."""


Request = Compose | Validate | Rest


def main() -> None:
    """Serve until the engine closes the socket, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the engine, which ends this process
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as lines:
        worker = _Worker(lines)
        while line := lines.readline():
            request = msgspec.json.decode(line, type=Request)
            reply = worker.serve(request)
            signal.setitimer(signal.ITIMER_PROF, 0)
            try:
                connection.sendall(msgspec.json.encode(reply) + b"\n")
            except OSError:  # the engine is gone, and nobody else knows of the draft
                if isinstance(request, Compose) and request.draft is not None:
                    Path(request.draft).unlink(missing_ok=True)
                return


class _Worker:
    """What the process keeps from one request to the next."""

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self._validators: dict[str, Validator] = {}
        self._job: Accepted | None = None
        """The job that was composed last, until a payload comes that is not its own."""

    def serve(self, request: Request) -> Composed | Reply | Rested:
        """Return the answer to a request."""
        if not isinstance(request, Validate):
            self._job = None
        if isinstance(request, Rest):
            return Rested(_memory())
        if isinstance(request, Compose):
            _limit(request.seconds, request.size)
            return self._compose(request)
        if request.schemas:
            schemas = pickle.loads(self._lines.read(request.schemas))  # noqa: S301  # the engine has written them
            self._validators[request.key] = make_validator(schemas, request.name)
        payload = self._payload(request.payload)
        _limit(request.seconds, len(payload))
        return _validate(self._validators[request.key], payload)

    def _compose(self, request: Compose) -> Composed:
        try:
            self._job = request.source.read()
            if request.draft is not None:
                Draft.write(request.draft, self._job)
        except Unfinished:
            return Composed(code=UNFINISHED)
        except LargeFile as file:
            return Composed(code=LARGE_FILE, number=file.size)
        except SpoolError as error:
            return Composed(code=error.code, detail=str(error), path=getattr(error, "path", None))
        except OSError as error:
            return Composed(code="", detail=str(error.strerror), number=error.errno)
        except MemoryError:
            return Composed(code=MEMORY)
        return Composed(self._job.head().to_json().decode())

    def _payload(self, wanted: int | str) -> bytes:
        if isinstance(wanted, str):
            return bytes(getattr(self._job, wanted)) or EMPTY
        self._job = None
        return self._lines.read(wanted)


def _memory() -> int:
    """Return how many bytes of memory no other process and no file shares with this one."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * resource.getpagesize()


def _limit(seconds: float, size: int) -> None:
    """Have the kernel end this process after some CPU time, and refuse it memory beyond what size needs."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    memory = _BASE_MEMORY + _MEMORY_PER_BYTE * size
    with suppress(ValueError):  # the host's own limit is lower
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _validate(validator: Validator, payload: bytes) -> Reply:
    try:
        fault = find_fault(validator, payload)
    except MemoryError:
        fault = Fault(NO_MEMORY, "$")
    except Exception as error:  # noqa: BLE001  # a schema that jsonschema can't apply is told like any fault
        fault = Fault(f"the service's schema can't be applied: {type(error).__name__}: {error}"[:500], "$")
    return Reply() if fault is None else Reply(*fault)


if __name__ == "__main__":
    main()
