"""The exit of an attempt, as its supervisor has recorded it: in the name of a file."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from treadle import Attempt, Exit, Reason, Service
from treadle_python.options import HostOptions
from treadle_python.treadle_inside.protocol import RESULT_FILES, parse_exit_name


def recorded_exit(attempt: Attempt) -> Exit | None:
    """Return the exit that is recorded in the attempt's folder, or None; also if there is no such folder."""
    try:
        folder = os.open(attempt.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):  # its program has removed it, or replaced it by a link
        return None
    try:
        names = os.listdir(folder)  # noqa: PTH208  # a descriptor is listed
    finally:
        os.close(folder)
    return next(filter(None, (exit_of_name(attempt, name) for name in names)), None)


def exit_of_name(attempt: Attempt, name: str) -> Exit | None:
    """Return the exit that a file's name records; None for the name of any other file."""
    parts = parse_exit_name(name)
    if parts is None:
        return None
    how, number, ended_ms, result, cut = parts
    try:
        ended = datetime.fromtimestamp(ended_ms / 1000, UTC)
    except (ValueError, OverflowError):  # no supervisor writes such a time
        return None
    return Exit(
        Reason.ENDED,
        code=number if how == "code" else None,
        signal=number if how == "signal" else None,
        ended=ended,
        detail=f"its output was cut at {output_limit(attempt.service)} bytes" if cut else None,
        returned=attempt.folder / RESULT_FILES[result] if result else None,
        failed=result == "error",
    )


def output_limit(service: Service) -> int:
    """Return how many bytes of stdout, and as many of stderr, are kept."""
    return service.options_of(HostOptions, "host").output_limit
