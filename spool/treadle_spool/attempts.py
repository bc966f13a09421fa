"""The record of an attempt on the disk: put in place of a damaged one, and made durable where it lasts.

A claim syncs nothing, so a power cut takes the record of an attempt with it, and the job is claimed again.
For a job that brings the host down each time, this would go on for ever. So an attempt that lasts is made
durable (`make_durable`): its record, what its runtime has written to find it again, and the names that lead
there. The next engine finds the attempt, its runtime says that it is lost, and it counts.
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from pathlib import Path

from treadle_spool import durable
from treadle_spool.folder import ATTEMPT, INTERIM, LOGS
from treadle_spool.removal import remove_tree
from treadle_spool.untrusted import UntrustedFile, open_untrusted

_UNSYNCED = frozenset({INTERIM, *LOGS.values()})
"""Files that grow while the attempt lasts. What they hold after a power cut is not believed anyway."""
_MAX_FILES = 64
_MAX_BYTES = 1024 * 1024
"""How many files, and of which size, are taken for a runtime's record: a program may have made others."""


def make_durable(folder: str) -> None:
    """Make durable what a job's folder says of its live attempt, but not the folder's own name.

    Raises OSError; FileNotFoundError if the job has ended meanwhile.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in itertools.islice(entries, _MAX_FILES)]
    for name in {ATTEMPT, *names} - _UNSYNCED:
        _sync_small(f"{folder}/{name}")
    durable.sync_folder(folder)


def _sync_small(path: str) -> None:
    """Sync a file, unless it is a large one, or none; it may have gone meanwhile."""
    with suppress(UntrustedFile, FileNotFoundError, PermissionError):
        fd = open_untrusted(path)
        try:
            if os.fstat(fd).st_size <= _MAX_BYTES:
                os.fsync(fd)
        finally:
            os.close(fd)


def put_in_place(draft: Path, path: str, aside: Path) -> None:
    """Rename draft to path, whatever is there; a folder in the way is moved to aside first, and removed."""
    try:
        draft.rename(path)
    except IsADirectoryError:
        Path(path).rename(aside)
        draft.rename(path)
        remove_tree(aside)
    draft.unlink(missing_ok=True)  # two names of one file: such a rename does nothing
