"""Mending run/<id> at an engine's start, after its program has damaged it or a crash has left it incomplete.

| run/<id> | the job | what is done |
| --- | --- | --- |
| anything | has its outcome in done/ | run/<id> is discarded, and the job is settled |
| is no folder | is not owed | it is discarded |
| is no folder | is owed | recovery ends the job; a damaged descriptor: as with an empty folder |
| has no job.json, and more than a claim makes | is owed | the descriptor is linked again |
| has something else in the place of job.json or attempt.json | is owed | that is replaced likewise |

An empty attempt.json means that an attempt was begun, and that its record is lost: recovery counts it. The
programs of such a job may be alive. Its runtime can tell that by what it has recorded.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from treadle_spool.folder import ATTEMPT, JOB, RESULT, STATUS
from treadle_spool.publication import Publisher, permit
from treadle_spool.untrusted import FOLDER_FLAGS, is_folder

if TYPE_CHECKING:
    from treadle_spool.spool import Spool

_OF_A_CLAIM = {JOB, ATTEMPT, f".{ATTEMPT}", RESULT, STATUS}
"""The entries that a claim makes, and the end of a job that was never started.

What else is in the folder was made for an attempt that was begun.
"""


def mend(publisher: Publisher, spool: Spool, name: str) -> bool:
    """Do what the table says; see Owner.mend."""
    folder, queued = str(spool.run / name), spool.queued(name)
    if os.path.exists(spool.done / name / STATUS):
        queued.unlink(missing_ok=True)
        publisher.discard(folder)
        return False
    if not is_folder(folder):
        publisher.discard(folder)
        if not queued.exists():
            return False
        os.mkdir(folder, mode=0o750)
        _write_empty(f"{folder}/{ATTEMPT}")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        permit(folder)
    _mend_files(publisher, folder, name)
    return True


def _mend_files(publisher: Publisher, folder: str, name: str) -> None:
    """Give a folder its descriptor and the record of its attempt, if an attempt was begun."""
    begun = not set(os.listdir(folder)) <= _OF_A_CLAIM
    for entry in (JOB, ATTEMPT):
        path = f"{folder}/{entry}"
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                publisher.discard(path)
                begun = True
    if not os.path.lexists(f"{folder}/{ATTEMPT}"):
        if not begun:
            return
        _write_empty(f"{folder}/{ATTEMPT}")
    if not os.path.lexists(f"{folder}/{JOB}"):
        fd = os.open(folder, FOLDER_FLAGS)
        try:
            publisher.link_descriptor(name, fd)
        finally:
            os.close(fd)


def _write_empty(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
