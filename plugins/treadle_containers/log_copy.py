"""When a container's log is copied: continuously while it runs, and once in full after its end.

While the container runs, the copy serves readers of the log, and it detects a container that prints more
than its limit. This copy may miss the end of the log. After the container's end the log is copied in full.

To follow the log would not be enough: of a container that had ended, podman-py's `logs` with `follow` lost
most of a long log. The last copy is one request. Only if it ended early, since one of its files was full, a
second one completes the other file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import msgspec

from treadle import Attempt
from treadle_containers.engine import ContainerEngine, EngineError
from treadle_containers.logs import LogFile
from treadle_containers.record import Record
from treadle_containers.retries import backoff, retry_until_reached
from treadle_containers.termination import stop_container

_FOLLOW_DELAY = 0.2
"""Seconds until a container's log is followed: for a shorter run the last copy is enough.

Also the seconds between two checks of a log's size.
"""


class LogCopy:
    """The copies of one container's log, for one call of the runtime's `wait`.

    Nothing of it must survive a crash: the next call of `wait` copies the log from its start.
    """

    def __init__(self, engine: ContainerEngine, attempt: Attempt, record: Record, limit: int) -> None:
        """Copy at most limit bytes of each stream of the container that the record names."""
        self.record = record
        """The record, which says afterwards whether the container was stopped for what it printed."""
        self._limit = limit
        self._engine = engine
        self._attempt = attempt
        self._container = str(record.id)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Copy the log continuously in a task for as long as the context is open."""
        with _open_logs(self._attempt, self._limit) as logs:
            task = asyncio.create_task(self._follow(logs))
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def complete(self) -> bool:
        """Copy the whole log of an ended container; return whether a stream is longer than the limit.

        If the container was stopped for what it printed, that is known already: a file that has reached the
        limit is not copied again.
        """
        with _open_logs(self._attempt, self._limit) as logs:
            overflowed = self.record.overflowed
            waiting = {name: each for name, each in logs.items() if not (overflowed and each.complete)}
            while waiting:
                await retry_until_reached(partial(self._copy_whole, waiting))
                left = {name: each for name, each in waiting.items() if not each.full}
                waiting = left if len(left) < len(waiting) else {}  # the copy ended early, or with the log
            return any(each.full for each in logs.values())

    async def _copy_whole(self, logs: Mapping[str, LogFile]) -> None:
        """Copy an ended container's log from its start, also after a copy that was interrupted."""
        for each in logs.values():
            each.rewind()
        await self._engine.copy_log(self._container, logs, follow=False)

    async def _follow(self, logs: Mapping[str, LogFile]) -> None:
        """Copy the log, again after each interruption. Errors are ignored: the last copy is complete."""
        await asyncio.sleep(_FOLLOW_DELAY)
        watching = asyncio.create_task(self._stop_when_full(logs))
        try:
            for delay in backoff():
                with suppress(EngineError):
                    await self._engine.copy_log(self._container, logs, follow=True)
                await asyncio.sleep(delay)
                for each in logs.values():
                    each.rewind()
        finally:
            watching.cancel()

    async def _stop_when_full(self, logs: Mapping[str, LogFile]) -> None:
        """Stop a container that prints more than its limit: the engine would keep all of the output."""
        while not any(each.full for each in logs.values()):
            await asyncio.sleep(_FOLLOW_DELAY)
            with suppress(EngineError):
                if await self._engine.overflows(self._container, self._limit):
                    break
        self.record = msgspec.structs.replace(self.record, overflowed=True).write(self._attempt)
        await retry_until_reached(
            partial(stop_container, self._engine, self._container, self._attempt.spool_id, 0)
        )


@contextmanager
def _open_logs(attempt: Attempt, limit: int) -> Iterator[dict[str, LogFile]]:
    """Open the attempt's log files by stream, at their start and with a limit."""
    with LogFile(attempt.stdout, limit) as stdout, LogFile(attempt.stderr, limit) as stderr:
        yield {"stdout": stdout, "stderr": stderr}
