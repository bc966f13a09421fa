"""Retention: ended jobs and refused files go when they are too old, too many or too large."""

from __future__ import annotations

import os
import shutil
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
from treadle_spool.spool import Spool
from treadle_spool.status import Status


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of each service's ended jobs; None for no limit. The newest ones are kept."""

    days: float | None = None
    """Days after a job's end; of refused files as well, after they were refused."""
    jobs: int | None = None
    bytes: int | None = None
    """Of all files in the jobs' folders."""

    def __bool__(self) -> bool:
        return self != Retention()


@dataclass(frozen=True, slots=True)
class Expired:
    """An ended job that is not kept any more."""

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
    """Yield the ended jobs that are not kept; a job that is still owed is never among them."""
    services: defaultdict[str, list[_Ended]] = defaultdict(list)
    for job in _ended_jobs(spool, sized=retention.bytes is not None):
        services[job.service].append(job)
    oldest = 0.0 if retention.days is None else time.time() - retention.days * 86_400
    for jobs in services.values():
        jobs.sort(key=lambda job: (job.ended, job.name), reverse=True)
        size = 0
        for number, job in enumerate(jobs, 1):
            size += job.bytes
            too_many = retention.jobs is not None and number > retention.jobs
            too_large = retention.bytes is not None and size > retention.bytes
            if too_many or too_large or job.ended < oldest:
                yield Expired(job.name, job.service, job.bytes)


def remove(spool: Spool, name: str) -> None:
    """Remove an ended job: it is gone at once, and whoever is reading one of its files reads on.

    When this returns, a power cut does not bring it back: its name may be another job's by then.
    """
    away = spool.new_in_tmp()
    with suppress(FileNotFoundError):  # somebody else has removed it
        (spool.done / name).rename(away)
        durable.sync_folder(spool.done)
        shutil.rmtree(away)


def collect(spool: Spool, retention: Retention) -> list[Expired]:
    """Remove what is not kept, and return it. Refused files are removed by their age alone."""
    gone = list(expired(spool, retention))
    for job in gone:
        remove(spool, job.name)
    if retention.days is not None:
        spool.quarantine.expire(time.time() - retention.days * 86_400)
    return gone


def _ended_jobs(spool: Spool, sized: bool) -> Iterator[_Ended]:
    for name in list(spool.names(spool.done)):
        folder = spool.done / name
        if os.path.lexists(spool.queued(name)):
            continue  # its outcome may not have reached the disk
        with suppress(OSError, SpoolError):  # no job's folder, or gone meanwhile
            status = decode((folder / STATUS).read_bytes(), Status)
            ended = status.ended or status.created
            yield _Ended(name, status.service, ended.timestamp(), _size(folder) if sized else 0)


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder; one that has two names there counts once."""
    found: dict[tuple[int, int], int] = {}
    for path, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                stat = Path(path, file).lstat()
                found[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(found.values())
