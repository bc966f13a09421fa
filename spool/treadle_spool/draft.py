"""The file of a large job, written before the job is accepted.

Who accepts a large job need not have its payload in memory: another process has decoded it and written the
file. `Spool.accept` takes the draft in place of the descriptor, and links its file into queue/.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from treadle_spool import durable
from treadle_spool.descriptor import Accepted

LARGE = 512 * 1024
"""Bytes of a job that is not decoded in the engine: 4 ms at most, in which nothing else is done there."""


class Draft(NamedTuple):
    """A job whose file is in tmp/, complete and not yet durable; whoever had it written removes it."""

    job: Accepted
    """The job without its payload."""
    path: str

    @classmethod
    def write(cls, path: str, job: Accepted) -> Draft:
        """Write a job's file; raise OSError or MemoryError, and then there is none."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            for piece in job.pieces():
                durable.write_all(fd, piece)
        except BaseException:
            Path(path).unlink()
            raise
        finally:
            os.close(fd)
        return cls(job.head(), path)

    def remove(self) -> None:
        """Remove the file. An error is no reason to refuse the job: the next sweep removes the file."""
        with suppress(OSError):
            Path(self.path).unlink()
