"""Noticing: how the dispatcher learns of the jobs that are owed.

A job is owed as long as its file stands in queue/. There are three sources, in the order of their speed:

1. The gateway of this process tells of an accept (`AcceptListener`). It says so before the accept as well:
   the file appears in queue/ before it is durable, and must not be claimed until then.
2. The watcher tells of a new name in queue/: a job that another process has accepted.
3. A listing at the start and every `rescan` seconds finds what no event told of.

Reading is idempotent: a job that is known already is passed over. A descriptor that can't be read is moved
to bad/. One of some size is read in a thread, and by a process if it is large; the others don't wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from treadle.interface.job import Job
from treadle.support.lifetime import Lifetime, background
from treadle.watch.arrivals import LINKS, Arrivals
from treadle_spool import Accepted, InvalidDescriptor, Owner, SpoolError, UnsafeName, check_name
from treadle_spool.errors import NotAFile
from treadle_spool.untrusted import UntrustedFile

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_SMALL = 256 * 1024
"""Bytes of a descriptor up to which it is read in the event loop."""
_RETRY_DELAY = 1.0
"""Seconds until a queue that could not be read is read again."""


class Noticing(Lifetime):
    """Reads owed jobs and hands them on, from `async with` to its end; used in the event loop.

    read returns the descriptor of an owed job, as Admission.read_owed does; it may block. add is
    called for each job, and noticed once all jobs of one event have been added. is_known returns whether the
    dispatcher has a job of that name; it is called in other threads, too.
    """

    def __init__(
        self,
        owner: Owner,
        read: Callable[[str], Accepted],
        add: Callable[[Job], None],
        noticed: Callable[[], None],
        is_known: Callable[[str], bool],
    ) -> None:
        self.missed = 0
        """How many jobs a rescan found that no event had told of."""
        self._owner = owner
        self._spool = owner.spool
        self._read_owed = read
        self._add = add
        self._noticed = noticed
        self._is_known = is_known
        self._names: asyncio.Queue[str | None] = asyncio.Queue()
        """Names to be read; None stands for a listing."""
        self._large: asyncio.Queue[str] = asyncio.Queue()
        """Names of descriptors that take some time to read."""
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
        async with background(self._notice()), background(self._notice_large()):
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
                found = await asyncio.to_thread(self._list) if name is None else self._look_at(name)
            except OSError as error:
                self._try_again(error, self._names, name)
                continue
            for each in found:
                if isinstance(each, Job):
                    self._add(each)
                else:
                    self._large.put_nowait(each)
            if name is None:
                self._count_missed(len(found))
            self._noticed()

    async def _notice_large(self) -> None:
        while True:
            name = await self._large.get()
            try:
                job = None if self._knows(name) else await asyncio.to_thread(self._read, name)
            except OSError as error:
                self._try_again(error, self._large, name)
                continue
            if job is not None:
                self._add(job)
                self._noticed()

    def _try_again(self, error: OSError, names: asyncio.Queue[Value], name: Value) -> None:
        log.error("the queue can't be read: %s; trying again", error)
        asyncio.get_running_loop().call_later(_RETRY_DELAY, names.put_nowait, name)

    def _count_missed(self, jobs: int) -> None:
        """Count what a listing found, except the first one: there were no events before it."""
        if self._listed:
            self.missed += jobs
        self._listed = True

    def _list(self) -> list[Job | str]:
        """Return what `_look_at` does of all jobs."""
        names = list(self._spool.names(self._spool.queue))
        return [found for name in names for found in self._look_at(name)]

    def _look_at(self, name: str) -> list[Job | str]:
        """Return the job of that name, unless it is known or gone, or the name if its descriptor is large."""
        if self._knows(name):
            return []
        try:
            if self._spool.queued(name).lstat().st_size > _SMALL:
                return [name]
        except FileNotFoundError:
            return []
        job = self._read(name)
        return [] if job is None else [job]

    def _read(self, name: str) -> Job | None:
        """Read an owed job; a damaged one is moved to bad/, with the reason."""
        try:
            return Job.of(check_name(name), self._read_owed(name))
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
