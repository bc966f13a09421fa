"""The exit of an attempt, as its supervisor has recorded it: in the name of a file.

Which names count:

| recorded under | name | counts |
| --- | --- | --- |
| this boot | any | yes |
| another boot, or process.json is damaged | `...-synced` | yes |
| another boot, or process.json is damaged | any other | no: what it tells of may not have been on the disk |

And only if the file that it names has the size that it says: a disk that was lost and came back may have the
name and not the content. What does not count is a lost attempt. (A file that is not there at all was removed;
the outcome says so.)
"""

from __future__ import annotations

import itertools
import os
import stat
from datetime import UTC, datetime

from treadle import Attempt, Exit, Reason, Service
from treadle_python.options import HostOptions
from treadle_python.supervisor_handle import SupervisorHandle
from treadle_python.treadle_inside.exit_names import ExitName, parse_exit_name
from treadle_python.treadle_inside.protocol import RESULT_FILES

_MOST = 100
"""Names of exits that are looked at; a supervisor makes two."""
AS_TEXT = "bytes or complex numbers in the result have no form in JSON: their text was taken"
NOT_DURABLE = "the host was restarted before its end was on the disk"


def recorded_exit(attempt: Attempt) -> Exit | None:
    """Return the exit that is recorded in the folder; LOST if it does not count, None if there is none.

    Blocks on the disk: a program without a mount namespace can make a million entries in its folder.
    """
    try:
        folder = os.open(attempt.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):  # its program has removed it, or replaced it by a link
        return None
    try:
        with os.scandir(folder) as entries:
            found = (parse_exit_name(entry.name) for entry in entries)
            recorded = list(itertools.islice((exit_ for exit_ in found if exit_ is not None), _MOST))
    finally:
        os.close(folder)
    if not recorded:
        return None
    synced = [exit_ for exit_ in recorded if exit_.synced]
    if not synced and not _of_this_boot(attempt):
        return Exit(Reason.LOST, detail=NOT_DURABLE)
    return _exit(attempt, (synced or recorded)[0])


def exit_of_name(attempt: Attempt, name: str) -> Exit | None:
    """Return the exit that a supervisor has reported by a file's name; None for any other name."""
    exit_ = parse_exit_name(name)
    return None if exit_ is None else _exit(attempt, exit_)


def notes_of(word: str | None) -> tuple[str, ...]:
    """Return what the status should tell of a file that a program has left, by its word in RESULT_FILES."""
    return (AS_TEXT,) if word == "text" else ()


def output_limit(service: Service) -> int:
    """Return how many bytes of stdout, and as many of stderr, are kept."""
    return service.options_of(HostOptions, "host").output_limit


def _of_this_boot(attempt: Attempt) -> bool:
    supervisor = SupervisorHandle.of(attempt.folder)
    return supervisor is not None and supervisor.of_this_boot


def _exit(attempt: Attempt, exit_: ExitName) -> Exit:
    returned = attempt.folder / RESULT_FILES[exit_.word] if exit_.word else None
    if returned is not None and exit_.size is not None and _size(returned) not in (exit_.size, None):
        return Exit(
            Reason.LOST,
            detail=f"the disk has lost its result: {returned.name} has not the {exit_.size} bytes of its end",
        )
    return Exit(
        Reason.ENDED,
        code=exit_.number if exit_.how == "code" else None,
        signal=exit_.number if exit_.how == "signal" else None,
        ended=datetime.fromtimestamp(exit_.ended_ms / 1000, UTC),
        detail=_detail(attempt, exit_),
        notes=notes_of(exit_.word),
        returned=returned,
        failed=exit_.word == "error",
        unwritten=exit_.unwritten is not None,
        cpu_seconds=None if exit_.cpu_ms is None else exit_.cpu_ms / 1000,
        peak_memory=None if exit_.peak_kib is None else exit_.peak_kib * 1024,
    )


def _size(path: os.PathLike[str]) -> int | None:
    """Return the size of a regular file; None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _detail(attempt: Attempt, exit_: ExitName) -> str | None:
    """Return what became of the output, if it is not complete."""
    if exit_.unwritten is not None:
        return f"its output could not be written to the disk: {os.strerror(exit_.unwritten)}"
    return f"its output was cut at {output_limit(attempt.service)} bytes" if exit_.cut else None
