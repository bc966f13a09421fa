"""Exceptions in words for a person: one line that names the file, or the place in the code."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

EXIT_CODES = """\b
Exit codes:
  0    done; for a job's end or result: it has succeeded
  1    an error; for a job's end or result: it has failed, or was cancelled
  2    wrong usage; for a job's end or result: it has not ended
  130  interrupted (Ctrl-C)
  141  the reader of standard output has gone
After an error, standard error has one line that begins with "Error:", and standard output no answer."""
"""The end of `treadle --help`."""


def describe(error: OSError) -> str:
    """Return an error of the system: the files it is about, and what is wrong with them."""
    files = [
        os.fsdecode(each) for each in (error.filename, error.filename2) if isinstance(each, (str, bytes))
    ]
    reason = error.strerror or str(error) or type(error).__name__
    if not files and isinstance(error, FileNotFoundError) and _is_here_gone():
        return "the current folder does not exist any more"
    return ": ".join(filter(None, (" -> ".join(files), reason)))


def describe_fault(error: Exception) -> str:
    """Return an exception that nobody expected, with its place in the code."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = "/".join(Path(frame.filename).parts[-3:])
    return (
        f"a fault of treadle: {type(error).__name__}: {error} ({place}, line {frame.lineno}); "
        "with TREADLE_TRACEBACK=1 all of it is shown"
    )


def _is_here_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
