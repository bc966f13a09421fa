"""The limits of programs: set once by the process that their supervisors are forked from."""

from __future__ import annotations

import contextlib
import resource


def limit_files(soft: int | None) -> None:
    """Set the soft limit of open files that programs inherit. An engine of an earlier version names none.

    The engine may have raised its own, and every process inherits that.
    """
    if soft is not None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
