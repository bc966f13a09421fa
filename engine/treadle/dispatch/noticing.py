"""Noticing: how the dispatcher learns of the jobs that are owed.

A job is owed as long as its file stands in queue/. There are three sources, in the order of their speed:

1. The gateway of this process tells of an accept (`AcceptListener`). It says so before the accept as well:
   the file appears in queue/ before it is durable, and must not be claimed until then.
2. The watcher tells of a new name in queue/: a job that another process has accepted.
3. A listing at the start and every `rescan` seconds finds what no event told of.

Reading is idempotent: a job that is known already is passed over. A descriptor that can't be read is moved
to bad/. A descriptor of some size is read in a thread, so that it does not delay the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from treadle.interface.job import Job
from treadle.support.lifetime import Lifetime, background
from treadle.watch.arrivals import LINKS, Arrivals
from treadle_spool import InvalidDescriptor, Owner, SpoolError, UnsafeName, check_name
from treadle_spool.errors import NotAFile
from treadle_spool.untrusted import UntrustedFile

log = logging.getLogger(__name__)

_SMALL = 256 * 1024
"""Bytes of a descriptor up to which it is read in the event loop; a larger one is read in a thread."""
_RETRY_DELAY = 1.0
"""Seconds until a queue that could not be read is read again."""


class Noticing(Lifetime):
    """Reads owed jobs and hands them on, from `async with` to its end; used in the event loop.

    add is called for each job, and noticed once all jobs of one event have been added. is_known returns
    whether the dispatcher has a job of that name; it is called in other threads, too.
    """

    def __init__(
        self,
        owner: Owner,
        add: Callable[[Job], None],
        noticed: Callable[[], None],
        is_known: Callable[[str], bool],
    ) -> None:
        self.missed = 0
        """How many jobs a rescan found that no event had told of."""
        self._owner = owner
        self._spool = owner.spool
        self._add = add
        self._noticed = noticed
        self._is_known = is_known
        self._names: asyncio.Queue[str | None] = asyncio.Queue()
        """Names to be read; None stands for a listing."""
        self._expected: set[str] = set()
        """Jobs that this process is about to accept."""
        self._listed = False

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in queue/."""
        arrivals.watch(self._spool.queue, LINKS, self._look, self._is_known_entry)

    def expect(self, name: str) -> None:
        """Leave a job alone that this process is about to accept."""
        self._expected.add(name)

    def expect_no_more(self, name: str) -> None:
        """Treat the job's file as any other: its accept failed, or was interrupted."""
        self._expected.discard(name)
        self._names.put_nowait(name)

    def accepted(self, job: Job) -> None:
        """Take a job that this process has accepted; its file need not be read."""
        self._expected.discard(job.id)
        self._add(job)
        self._noticed()

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with background(self._notice()):
            yield

    def _look(self, entry: str | None) -> None:
        self._names.put_nowait(None if entry is None else entry.removesuffix(".json"))

    def _is_known_entry(self, entry: str) -> bool:
        return self._knows(entry.removesuffix(".json"))

    def _knows(self, name: str) -> bool:
        return name in self._expected or self._is_known(name)

    async def _notice(self) -> None:
        while True:
            name = await self._names.get()
            try:
                jobs = await (asyncio.to_thread(self._read_all) if name is None else self._read_one(name))
            except OSError as error:
                log.error("the queue can't be read: %s; trying again", error)
                asyncio.get_running_loop().call_later(_RETRY_DELAY, self._names.put_nowait, name)
                continue
            for job in jobs:
                self._add(job)
            if name is None:
                self._count_missed(len(jobs))
            self._noticed()

    def _count_missed(self, jobs: int) -> None:
        """Count what a listing found, except the first one: there were no events before it."""
        if self._listed:
            self.missed += jobs
        self._listed = True

    def _read_all(self) -> list[Job]:
        names = list(self._spool.names(self._spool.queue))
        jobs = (self._read(name) for name in names if not self._knows(name))
        return [job for job in jobs if job is not None]

    async def _read_one(self, name: str) -> list[Job]:
        if self._knows(name):
            return []
        try:
            small = self._spool.queued(name).lstat().st_size <= _SMALL
        except FileNotFoundError:
            return []
        job = self._read(name) if small else await asyncio.to_thread(self._read, name)
        return [] if job is None else [job]

    def _read(self, name: str) -> Job | None:
        """Read an owed job; a damaged one is moved to bad/, with the reason."""
        try:
            return Job.of(check_name(name), self._spool.read_queued(name))
        except FileNotFoundError:
            return None
        except (InvalidDescriptor, UnsafeName) as error:
            self._refuse(name, error)
        except UntrustedFile as error:
            self._refuse(name, NotAFile(error.strerror))
        return None

    def _refuse(self, name: str, error: SpoolError) -> None:
        log.error("%s is damaged: %s; it is kept in bad/", self._spool.queued(name), error)
        self._owner.refuse_queued(name, error)
