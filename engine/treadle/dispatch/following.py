"""The follower of an attempt's output: it reads on when the output grows, and keeps what is found.

1. The output is followed from the moment when the attempt has lasted a little (_FOLLOW_DELAY). When it is
   over, the rest is read to its end.
2. It is read by slices of time (output.py). The first slice after a growth comes at once: for most programs
   it is enough. For each further one the follower waits for its turn, which all followers of an engine
   share, and then for the other tasks of the event loop. So however many programs print however much, the
   event loop parses one slice, and then sees to everything else.
3. A slice that may take long is read in a thread, and there is one such thread for all followers: large
   findings are checked one after the other. Only one that is left in the middle goes on beside the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from treadle.dispatch.output import Findings, OutputReader
from treadle.interface.attempt import Attempt
from treadle.interface.parser import Found, Interim
from treadle.watch.changes import Changes
from treadle_spool.outputs import InterimFile
from treadle_spool.untrusted import is_misplaced

log = logging.getLogger(__name__)

_FOLLOW_DELAY = 0.02
"""Seconds after which output is followed as it grows; an attempt that is over before needs no watch."""
_LARGE = 4 * 1024 * 1024
"""Bytes of earlier interim results that are counted in a thread."""


class Turns:
    """Whose turn it is to read a slice, of all followers of one engine."""

    def __init__(self) -> None:
        self.in_thread = asyncio.Lock()
        self._in_loop = asyncio.Lock()

    @asynccontextmanager
    async def in_loop(self) -> AsyncIterator[None]:
        """Wait until no other follower reads here, and until all other tasks have had their turn."""
        async with self._in_loop:
            await asyncio.sleep(0)
            yield


class OutputFollower:
    """Follows one attempt's standard output as it grows, and sorts the findings; interim results have a file.

    Made for each run of an attempt; used in the event loop. A fault while it follows (a disk error, say) is
    kept until `read_rest` or `raise_fault` raises it.
    """

    def __init__(
        self,
        attempt: Attempt,
        reader: OutputReader,
        changes: Changes,
        turns: Turns,
        on_interim: Callable[[bytes], None],
    ) -> None:
        """Call on_interim with each new interim result."""
        self.findings = Findings()
        self._attempt = attempt
        self._reader = reader
        self._changes = changes
        self._turns = turns
        self._interim = InterimFile(attempt.folder, reader.longest)
        self._on_interim = on_interim
        self._in_thread: asyncio.Future[list[Found]] | None = None
        """The slice that is being read in a thread."""
        self._fault: Exception | None = None
        self._delay: asyncio.TimerHandle | None = None
        self._following: asyncio.Task[None] | None = None

    def follow(self, on_fault: Callable[[], None]) -> None:
        """Begin to follow the output in a moment; call on_fault if that fails later."""
        self._delay = asyncio.get_running_loop().call_later(_FOLLOW_DELAY, self._begin, on_fault)

    def raise_fault(self) -> None:
        """Raise the exception that ended the following, if there is one."""
        if self._fault is not None:
            raise self._fault

    async def read_rest(self) -> None:
        """Read to the end of the output; the attempt is over."""
        await self._end_following()
        self.raise_fault()
        await self._read_on()
        self._reader.finish()
        await self._read_on()

    async def close(self) -> None:
        """Stop following and close the files."""
        await self._end_following()
        self._reader.close()
        self._interim.close()

    def _begin(self, on_fault: Callable[[], None]) -> None:
        self._following = asyncio.create_task(self._follow(on_fault))

    async def _follow(self, on_fault: Callable[[], None]) -> None:
        """Read the output as it grows, without end; if its folder can't be watched, it is read at the end."""
        try:
            with self._changes.inside(self._attempt.folder, self._attempt.stdout.name) as grown:
                while True:
                    await self._read_on()
                    await grown.wait()
                    grown.clear()
        except Exception as error:  # noqa: BLE001  # it is raised where the attempt is awaited
            if isinstance(error, OSError) and is_misplaced(error):
                log.warning("the output of job %s can't be followed: %s", self._attempt.job.id, error)
                return
            self._fault = error
            on_fault()

    async def _end_following(self) -> None:
        # The handle and the task hold the follower: kept here, they would be a cycle that is never freed.
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        if self._in_thread is not None:  # a cancelled task has left it
            (found,) = await asyncio.gather(self._in_thread, return_exceptions=True)
            self._in_thread = None
            if isinstance(found, Exception):
                self._fault = self._fault or found
            elif isinstance(found, list):
                self._take(found)

    async def _read_on(self) -> None:
        """Read to the end that the output has now; may be cancelled, and called again."""
        await self._read_slice(nullcontext())
        while not self._reader.at_end:
            await self._read_slice(self._turns.in_loop())

    async def _read_slice(self, turn: AbstractAsyncContextManager[None]) -> None:
        """Read one slice, when it is the follower's turn, and take its findings."""
        if not self._reader.is_slow() and self._interim.size() <= _LARGE:
            async with turn:
                self._take(self._new_findings())
            return
        async with self._turns.in_thread:
            self._in_thread = asyncio.ensure_future(asyncio.to_thread(list, self._new_findings()))
            found = await asyncio.shield(self._in_thread)
            self._in_thread = None
        self._take(found)

    def _new_findings(self) -> Iterator[Found]:
        """Yield what the next slice finds; interim results are in their file then, and told only once."""
        for found in self._reader.read():
            if not isinstance(found, Interim) or self._interim.add(found.value):
                yield found

    def _take(self, findings: Iterable[Found]) -> None:
        for found in findings:
            if isinstance(found, Interim):
                self._on_interim(found.value)
            else:
                self.findings.note(found)
