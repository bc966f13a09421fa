"""The job's file, as the program's process reads it."""

from __future__ import annotations

import os
import sys

from .own_json import parse
from .protocol import JOB
from .results import integers_of_any_size

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any

_INPUT_RECURSION_LIMIT = 20000
"""Recursion limit while the input is parsed: no accepted input is nested more deeply."""


def open_job(folder: str) -> int:
    """Return a descriptor of the job's file in an attempt's folder."""
    return os.open(os.path.join(folder, JOB), os.O_RDONLY | os.O_CLOEXEC)


def read_input(fd: int) -> tuple[Any, Any]:
    """Return the data and the params of a job; null, which the client of version 1 sends, is absent.

    The descriptor is closed.
    """
    with open(fd, "rb", buffering=0) as file:
        raw = file.read()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _INPUT_RECURSION_LIMIT))
    try:
        with integers_of_any_size():
            job = parse(raw.decode())
    finally:
        sys.setrecursionlimit(limit)
    data, params = job.get("data"), job.get("params")
    return {} if data is None else data, {} if params is None else params
