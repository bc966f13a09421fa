"""The process in which payloads are validated that may take long, and the words that it is spoken to in.

It serves one request after the other, on the socket that is its standard input, until the socket is closed.
The engine's side is validation_pool.py.

1. The engine sends a line of JSON (`Request`), then the schemas if the request has some, then the payload.
2. The process sets a timer to the CPU time that is allowed (ITIMER_PROF), and a limit to its memory.
3. It answers with a line of JSON (`Reply`).

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

from treadle.intake.validating import Fault, find_fault, make_validator

_BASE_MEMORY = 256 * 1024 * 1024
_MEMORY_PER_BYTE = 8
"""Bytes that a validation may use, and for each byte of the payload; a parsed list of numbers needs 8."""
_OOM_SCORE = "500"
"""The kernel ends this process before the engine if the host's memory runs out."""
NO_MEMORY = "checking it against the service's schema takes more memory than is allowed"


class Request(msgspec.Struct, frozen=True):
    """What is asked for; the bytes of the schemas and of the payload follow."""

    key: str
    """The name of the validator: the process keeps the validators that it has made."""
    name: str
    """The schema that the payload has to fit."""
    schemas: int
    """The length of the pickled schemas; 0 if the process has made this validator before."""
    payload: int
    """The length of the payload in bytes."""
    seconds: float
    """The CPU time that is allowed."""


class Reply(msgspec.Struct, frozen=True):
    """The outcome: both are None if the payload fits."""

    detail: str | None = None
    path: str | None = None


def main() -> None:
    """Serve until the engine closes the socket, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the engine, which ends this process
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    validators: dict[str, Validator] = {}
    with socket.socket(fileno=0) as connection, connection.makefile("rb") as lines:
        while line := lines.readline():
            request = msgspec.json.decode(line, type=Request)
            reply = _validate(request, lines, validators)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.sendall(msgspec.json.encode(reply) + b"\n")


def _validate(request: Request, lines: IO[bytes], validators: dict[str, Validator]) -> Reply:
    if request.schemas:
        schemas = pickle.loads(lines.read(request.schemas))  # noqa: S301  # the engine has written them
        validators[request.key] = make_validator(schemas, request.name)
    payload = lines.read(request.payload)
    signal.setitimer(signal.ITIMER_PROF, request.seconds)
    memory = _BASE_MEMORY + _MEMORY_PER_BYTE * len(payload)
    with suppress(ValueError):  # the host's own limit is lower
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    return _reply(validators[request.key], payload)


def _reply(validator: Validator, payload: bytes) -> Reply:
    try:
        fault = find_fault(validator, payload)
    except MemoryError:
        fault = Fault(NO_MEMORY, "$")
    except Exception as error:  # noqa: BLE001  # a schema that jsonschema can't apply is told like any fault
        fault = Fault(f"the service's schema can't be applied: {type(error).__name__}: {error}"[:500], "$")
    return Reply() if fault is None else Reply(*fault)


if __name__ == "__main__":
    main()
