"""The intake of the drop folder: each complete file in drop/ becomes a job, or is refused with a reason.

The steps for one entry are the spool's (treadle_spool/drop.py). Here is what calls them, in three lanes, so
that no entry waits long for the others (support/lanes.py):

1. Looking: entries are opened and read, many at a time. This is quick: 20,000 take about a second.
2. Judging and accepting: several files at a time. One whose check is slow counts no more after a moment.
3. Refusing: many entries at a time share their fsyncs.

An entry is in one lane at most; what happens to it meanwhile has it looked at again afterwards.
An error of the disk concerns one entry: it is looked at again later, and the others go on. While there is no
room for a job, nothing is looked at.

To take one entry after the other was tried before: a good file waited for a minute behind 20,000 bad ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from treadle.intake.admission import Admission, DiskFull, QueueFull, ShuttingDown
from treadle.intake.catalogue import ServiceBroken
from treadle.intake.drop_troubles import Troubles
from treadle.intake.drop_visits import Visits
from treadle.support.lanes import Lane
from treadle.support.lifetime import Lifetime
from treadle.watch.arrivals import ARRIVALS, Arrivals
from treadle_spool import (
    Descriptor,
    DropFolder,
    Faulty,
    Found,
    Large,
    LeftAlone,
    NotYet,
    Refused,
    SpoolError,
    Taken,
    is_hidden,
)

log = logging.getLogger(__name__)

Value = TypeVar("Value")
Looked = Found | Large | Faulty | LeftAlone | NotYet | Exception

_RETRY_DELAY, _BROKEN_DELAY = 2.0, 10.0
"""Seconds until the next look at an entry after an error, and for room; and while its service is broken."""
_LOOKED_AT = 64
"""Entries that are looked at together."""
_FLOODED = 0.5
"""Seconds between two listings while many entries wait: what came last is found by these, not by events."""
_REFUSED = 64
"""Entries that are refused together."""
_JUDGES, _MOST_JUDGES = 4, 24
_SLOW = 0.3
"""Seconds after which a check counts as slow, and another one begins beside it."""
_MIB = 1024 * 1024
_LEAST_ROOM = 128 * _MIB
"""Bytes of files that are read and not yet accepted, at least; two of the largest fit. Further ones wait."""
_SMALL = _MIB
"""Bytes of a file that is read all the same, up to as many small ones as fit into the half of the room."""


class Intake(Lifetime):
    """The background tasks that take dropped files, from `async with` to its end; the engine has one."""

    def __init__(self, drop: DropFolder, admission: Admission) -> None:
        self.refused = 0
        """How many files were refused since the start."""
        self.troubles = Troubles()
        """What health tells of the intake."""
        self._drop = drop
        self._admission = admission
        self._room = max(_LEAST_ROOM, 2 * drop.max_bytes)
        self._held = 0
        """Bytes of the files that are read and not yet accepted."""
        self._threads = ThreadPoolExecutor(_MOST_JUDGES + 3, "intake")
        self._listing = False
        self._listed = 0.0
        self._looking = Lane(self._look_at, batch=_LOOKED_AT)
        self.visits = Visits(self._looking.put)
        self._judging = Lane(self._judge, workers=_JUDGES, slow=_SLOW, most=_MOST_JUDGES)
        self._refusing = Lane(self._refuse, batch=_REFUSED)

    def attach(self, arrivals: Arrivals) -> None:
        """Have the watcher tell of what arrives in drop/."""
        arrivals.watch(self._drop.path, ARRIVALS, self._hear)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            # What a thread has begun is awaited: the spool's lock is left afterwards.
            stack.push_async_callback(asyncio.to_thread, self._threads.shutdown, cancel_futures=True)
            for lane in (self._refusing, self._judging, self._looking):
                await stack.enter_async_context(lane)
            yield
            self.visits.stop()

    def _hear(self, entry: str | None) -> None:
        """Take a hint of the watcher: an entry may be new, or any may."""
        if entry is not None:
            if not is_hidden(entry):
                self.visits.want(entry)
        elif not self._listing:
            self._listing = True
            self._looking.put(None)

    async def _look_at(self, entries: Sequence[str | None]) -> None:
        await self._await_room()
        names = [entry for entry in entries if entry is not None]
        if None in entries or self._is_flooded():
            await self._list()
        outcomes = await self._in_thread(self._look_at_all, names, self._held)
        self._looking.put_back(names[len(outcomes) :])
        for entry, outcome in zip(names, outcomes, strict=False):
            match outcome:
                case Found() | Large():
                    self._held += outcome.file.st_size
                    self._judging.put(outcome)
                case Faulty():
                    self._refusing.put(outcome)
                case Exception():
                    self._failed(entry, outcome)
                case _:
                    self._note(entry, outcome)

    def _look_at_all(self, entries: Sequence[str], held: int) -> list[Looked]:
        """Look at entries, one after the other, until much has been read."""
        outcomes: list[Looked] = []
        for entry in entries:
            if held > self._room:
                break
            try:
                outcome = self._drop.look(entry, max(_SMALL, self._room - held))
            except Exception as error:  # noqa: BLE001  # it concerns this entry only, such as a lack of memory
                outcomes.append(error)
                continue
            if isinstance(outcome, Found | Large):
                held += outcome.file.st_size
            outcomes.append(outcome)
        return outcomes

    def _is_flooded(self) -> bool:
        """Return whether to list the folder although nobody asked: events may come seconds late."""
        late = asyncio.get_running_loop().time() > self._listed + _FLOODED
        return late and len(self._looking) > _LOOKED_AT

    async def _list(self) -> None:
        self._listing = False
        try:
            names = await self._in_thread(self._drop.names)
            new = await self._in_thread(lambda: [name for name in names if name not in self.visits])
        except OSError as error:
            self.troubles.unlisted = str(error)
            asyncio.get_running_loop().call_later(_RETRY_DELAY, self._hear, None)
            return
        self.troubles.unlisted = None
        self.troubles.keep(names)
        for entry in new:
            if entry not in self.visits:
                self.visits.want(entry)
        self._listed = asyncio.get_running_loop().time()

    async def _await_room(self) -> None:
        """Wait until there is room for a job, and for its bytes."""
        while not self._has_room() or self._held > self._room:  # noqa: ASYNC110  # nobody tells of a disk's room
            await asyncio.sleep(_RETRY_DELAY / 10)

    def _has_room(self) -> bool:
        try:
            self._admission.check_room()
        except (QueueFull, DiskFull, ShuttingDown, OSError) as error:
            self.troubles.wait(error)
            return False
        self.troubles.go_on()
        return True

    async def _judge(self, items: Sequence[Found | Large]) -> None:
        (found,) = items
        try:
            if not isinstance(found, Large):
                await self._check(found.descriptor)
            if not self._has_room():
                self.visits.done(found.entry, _RETRY_DELAY)
            elif isinstance(found, Large):
                compose = self._admission.compose_dropped
                self._note(found.entry, await self._in_thread(self._drop.accept_large, found, compose))
            else:
                self._note(found.entry, await self._in_thread(self._drop.accept, found))
        except SpoolError as error:
            self._refusing.put(Faulty(found.entry, error.with_traceback(None), found.file))
        except Exception as error:  # noqa: BLE001  # a plugin's check may raise anything
            self._failed(found.entry, error)
        finally:
            self._held -= found.file.st_size

    async def _check(self, job: Descriptor) -> None:
        """Raise SpoolError if the job can't be run."""
        if self._admission.is_quick(job):
            self._admission.check(job)
        else:
            await self._in_thread(self._admission.check, job)

    async def _refuse(self, faults: Sequence[Faulty]) -> None:
        try:
            outcomes = await self._in_thread(self._drop.refuse_all, faults)
        except Exception as error:  # noqa: BLE001  # nothing may be lost here: all are looked at again
            for fault in faults:
                self._failed(fault.entry, error)
            return
        for fault, outcome in zip(faults, outcomes, strict=True):
            if isinstance(outcome, OSError):
                self._failed(fault.entry, outcome)
            else:
                self._note(fault.entry, outcome)

    def _note(self, entry: str, outcome: Taken | Faulty | Refused | LeftAlone | NotYet) -> None:
        """Take note of what has become of an entry, and let it leave its lane."""
        again: float | None = None
        other: str | None = None
        match outcome:
            case Faulty():
                self._refusing.put(outcome)
                return
            case NotYet():
                again = outcome.again if outcome.unfinished and outcome.entry is None else None
                other = outcome.entry
            case Taken():
                other = outcome.again
            case Refused():
                self.refused += 1
                log.warning("%r was refused: %s", outcome.name, outcome.reason)
        self.troubles.done(entry, getattr(outcome, "stays", None))
        self.visits.done(entry, again)
        if other is not None:
            self.visits.want(other)

    def _failed(self, entry: str, error: Exception) -> None:
        """Take note of an error: the entry is looked at later, or when its broken service has changed."""
        self.troubles.failed(entry, error)
        self.visits.done(entry, _BROKEN_DELAY if isinstance(error, ServiceBroken) else _RETRY_DELAY)

    async def _in_thread(self, work: Callable[..., Value], *arguments: Any) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
