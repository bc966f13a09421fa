"""Retention: the removal of ended jobs by age, number and size, and of refused files by age."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from treadle_spool import durable
from treadle_spool.errors import SpoolError
from treadle_spool.folder import STATUS
from treadle_spool.reading import decode
from treadle_spool.removal import remove_tree
from treadle_spool.spool import Spool
from treadle_spool.status import Status
from treadle_spool.untrusted import read_untrusted


@dataclass(frozen=True, slots=True)
class Retention:
    """The limits for the ended jobs of each service; None is no limit. The newest jobs are kept."""

    days: float | None = None
    """Days since the end of a job; for refused files, days since the refusal."""
    jobs: int | None = None
    bytes: int | None = None
    """Total size of all files in the folders of the jobs."""

    def __bool__(self) -> bool:
        return self != Retention()


@dataclass(frozen=True, slots=True)
class Expired:
    """An ended job that is beyond a limit."""

    name: str
    service: str
    bytes: int


@dataclass(frozen=True, slots=True)
class _Ended:
    name: str
    service: str
    ended: float
    bytes: int


def expired(spool: Spool, retention: Retention) -> Iterator[Expired]:
    """Yield the ended jobs that are beyond a limit; a job that is still owed is never among them."""
    services: defaultdict[str, list[_Ended]] = defaultdict(list)
    for job in _ended_jobs(spool, sized=retention.bytes is not None):
        services[job.service].append(job)
    cutoff = 0.0 if retention.days is None else time.time() - retention.days * 86_400
    for jobs in services.values():
        jobs.sort(key=lambda job: (job.ended, job.name), reverse=True)
        size = 0
        for number, job in enumerate(jobs, 1):
            size += job.bytes
            too_many = retention.jobs is not None and number > retention.jobs
            too_large = retention.bytes is not None and size > retention.bytes
            if too_many or too_large or job.ended < cutoff:
                yield Expired(job.name, job.service, job.bytes)


def remove(spool: Spool, name: str) -> None:
    """Remove an ended job. It disappears at once, and a process that has one of its files open can read on.

    The removal is durable when this returns, since the name may then be given to another job.
    """
    trash = spool.new_in_tmp()
    with suppress(FileNotFoundError):  # another process has removed it
        (spool.done / name).rename(trash)
        durable.sync_folder(spool.done)
        remove_tree(trash)


def collect(spool: Spool, retention: Retention) -> list[Expired]:
    """Remove the ended jobs beyond the limits and return them; remove refused files by their age alone."""
    jobs = list(expired(spool, retention))
    for job in jobs:
        remove(spool, job.name)
    if retention.days is not None:
        spool.quarantine.expire(time.time() - retention.days * 86_400)
    return jobs


def _ended_jobs(spool: Spool, sized: bool) -> Iterator[_Ended]:
    for name in list(spool.names(spool.done)):
        folder = spool.done / name
        if os.path.lexists(spool.queued(name)):
            continue  # its outcome may not be durable yet
        with suppress(OSError, SpoolError):  # not a job's folder, or removed meanwhile
            status = decode(read_untrusted(folder / STATUS), Status)
            ended = status.ended or status.created
            yield _Ended(name, status.service, ended.timestamp(), _size(folder) if sized else 0)


_BLOCK = 512
"""Bytes that st_blocks counts in (stat(2))."""


def _size(folder: Path) -> int:
    """Return the total bytes of all files below a folder; a file with several hard links counts once.

    What is so deep that its path is too long for the system is not counted.
    """
    sizes: dict[tuple[int, int], int] = {}
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                with suppress(FileNotFoundError):
                    stat = entry.stat(follow_symlinks=False)
                    occupied = stat.st_blocks * _BLOCK
                    sizes[stat.st_dev, stat.st_ino] = min(stat.st_size, occupied)  # a file may have holes
    return sum(sizes.values())
