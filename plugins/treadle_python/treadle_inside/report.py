"""The report of a fork server: whether it is ready, once, to the engine that has started it."""

from __future__ import annotations

import os
import posix  # a module that is preloaded may change os

from .own_json import Encoder

_LONGEST_PROBLEM = 4000
"""Characters: a report has room in a pipe that nobody reads from meanwhile."""


def report(fd: int, *, ready: bool, problem: str | None) -> None:
    """Write the report, and give up its descriptor, stdin, stdout and stderr, which belong to the engine."""
    problem = None if problem is None else problem[:_LONGEST_PROBLEM]
    posix.write(fd, Encoder().encode({"ready": ready, "problem": problem}).encode() + b"\n")
    posix.close(fd)
    null = posix.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        posix.dup2(null, standard)
    posix.close(null)
