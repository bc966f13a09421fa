"""The request for a supervisor: what the runtime sends to have an attempt run (protocol.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from treadle import Attempt, Command, boot
from treadle_python.exits import output_limit
from treadle_python.mount_table import MountTable
from treadle_python.options import HostOptions
from treadle_python.python_template import PythonCall


def request_of(attempt: Attempt, command: Command, contain: str, mounts: MountTable) -> dict[str, Any]:
    """Return the request for an attempt whose programs are contained by `contain`."""
    options = attempt.service.options_of(HostOptions, "host")
    workdir = command.workdir
    if workdir is None and options.workdir == "project":
        workdir = attempt.service.path
    private = options.tmp == "private"
    request: dict[str, Any] = {
        "folder": str(attempt.folder),
        "place": str(attempt.scratch),
        "contain": contain,
        "output_limit": output_limit(attempt.service),
        "boot": boot(),
        "tmp": options.tmp,
        "keep_work": options.keep_work == "failed",
        "workdir": None if workdir is None else str(workdir),
        "mounts": () if contain == "subreaper" else mounts.rows(attempt, command, private=private),
    }
    if isinstance(command, PythonCall):
        return request | {
            "project": str(command.project),
            "entrypoint": command.entrypoint,
            "environment": command.attempt_environment,
        }
    return request | {"argv": command.argv, "environment": command.environment}


def encode(request: Mapping[str, Any]) -> bytes:
    """Return a request as it is sent: its environment is on a line of its own."""
    head = {name: value for name, value in request.items() if name != "environment"}
    return orjson.dumps(head) + b"\n" + orjson.dumps(request["environment"])
