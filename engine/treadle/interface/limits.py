"""The limits that this process was started with.

The server raises its own limit of open files, since each connection needs one. Its programs must not inherit
that: some close, or make room for, every descriptor that they might have.
"""

from __future__ import annotations

import resource

_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""Read when `treadle` is imported: before anything is raised."""


def open_files() -> int:
    """Return the soft limit of open files that a program gets: the one that the engine was started with.

    A runtime that starts processes on the engine's host has them set it, before they execute a program.
    """
    return _OPEN_FILES
