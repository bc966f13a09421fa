"""The life of one attempt: started or adopted, followed, waited for, stopped, concluded."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from typing import IO, Any

from treadle.growth import Growth
from treadle.outcome import Findings
from treadle.output import OutputReader
from treadle.parser import Found, Interim
from treadle.runtime import Attempt, Exit, Reason, Runtime, StartError
from treadle.trouble import may_pass
from treadle_spool import now

log = logging.getLogger(__name__)


class Execution:
    """One attempt in the hands of its runtime, followed until it is over.

    `run` may be cancelled at any moment, and that leaves the attempt as it is: the next engine
    adopts it. Only `stop` ends it.
    """

    def __init__(
        self,
        attempt: Attempt,
        runtime: Runtime,
        reader: OutputReader,
        growth: Growth,
        *,
        timeout: float | None,
        grace: float,
        on_interim: Callable[[bytes], None],
    ) -> None:
        self.attempt = attempt
        self.findings = Findings()
        self.timeout = timeout
        self._runtime = runtime
        self._reader = reader
        self._growth = growth
        self._grace = grace
        self._on_interim = on_interim
        self._stopping: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.started = asyncio.Event()
        """Set once the runtime has started it; until then it had better not be interrupted."""

    def stop(self, reason: Reason = Reason.STOPPED) -> None:
        """Have the attempt stopped; the first reason counts."""
        if not self._stopping.done():
            self._stopping.set_result(reason)

    async def run(self) -> Exit:
        """Bring the attempt to its end and return it; its output has been read by then.

        Raises StartError, and OSError for trouble of the host: then the attempt is as it was.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._reader.close)
            interim = stack.enter_context(_InterimFile(self.attempt, self._on_interim))
            self.attempt.stdout.touch()
            following = asyncio.create_task(self._follow(interim))
            stack.push_async_callback(_cancel, following)
            exit_ = await self._until_over(following)
            await _cancel(following)
            await self._read_rest(interim)
            return exit_

    async def _until_over(self, following: asyncio.Task[None]) -> Exit:
        life = asyncio.create_task(self._live())
        alarm = self._set_alarm()
        try:
            either: set[asyncio.Future[Any]] = {life, self._stopping, following}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()  # it ends by an error only
            if life.done():
                return self._own_end(life.result())
            return await self._stop(life, self._stopping.result())
        finally:
            if alarm is not None:
                alarm.cancel()
            self.started.set()
            await _cancel(life)

    def _own_end(self, exit_: Exit) -> Exit:
        """Return how it ended by itself; of a lost one nobody knows, so a stop that was asked for counts."""
        if exit_.reason is Reason.LOST and self._stopping.done():
            return dataclasses.replace(exit_, reason=self._stopping.result())
        return exit_

    async def _live(self) -> Exit:
        try:
            await self._runtime.start(self.attempt)
            self.started.set()
            return await self._runtime.wait(self.attempt)
        except StartError:
            raise
        except Exception as error:  # a plugin's code may raise anything
            if may_pass(error):
                raise
            log.exception("runtime %s failed with job %s", self._runtime.name, self.attempt.job.id)
            await self._runtime.stop(self.attempt, self._grace)
            raise StartError("RUNTIME_ERROR", f"runtime {self._runtime.name} failed: {error}") from error

    async def _stop(self, life: asyncio.Task[Exit], reason: Reason) -> Exit:
        """Stop the attempt in whichever phase it is; how its program took that does not matter."""
        if not self.started.is_set():
            await _cancel(life)
        await self._runtime.stop(self.attempt, self._grace)
        if life.cancelled():
            return Exit(reason)
        try:
            return dataclasses.replace(await life, reason=reason)
        except StartError:
            return Exit(reason)

    def _set_alarm(self) -> asyncio.TimerHandle | None:
        """Have the attempt stopped at its timeout, counted from its start and not from ours."""
        if self.timeout is None:
            return None
        left = self.timeout - (now() - self.attempt.started).total_seconds()
        return asyncio.get_running_loop().call_later(max(0.0, left), self.stop, Reason.TIMED_OUT)

    async def _follow(self, interim: _InterimFile) -> None:
        with self._growth.of(self.attempt.stdout) as grown:
            while True:
                self._take(self._reader.read_new(), interim)
                if self._reader.at_end:
                    await grown.wait()
                    grown.clear()
                else:
                    await asyncio.sleep(0)

    async def _read_rest(self, interim: _InterimFile) -> None:
        self._take(self._reader.read_new(), interim)
        while not self._reader.at_end:
            await asyncio.sleep(0)
            self._take(self._reader.read_new(), interim)
        self._take(self._reader.finish(), interim)

    def _take(self, findings: Iterable[Found], interim: _InterimFile) -> None:
        for found in findings:
            if isinstance(found, Interim):
                interim.add(found.value)
            else:
                self.findings.note(found)


class _InterimFile:
    """interim.jsonl, one value a line. What an earlier engine wrote there is not written or told again."""

    def __init__(self, attempt: Attempt, tell: Callable[[bytes], None]) -> None:
        self._path = attempt.folder / "interim.jsonl"
        self._tell = tell
        self._known = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _InterimFile:
        with suppress(FileNotFoundError):
            content = self._path.read_bytes()
            self._known = content.count(b"\n")
            if torn := len(content) - (content.rfind(b"\n") + 1):
                with self._path.open("r+b") as file:
                    file.truncate(len(content) - torn)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, value: bytes) -> None:
        if self._known:
            self._known -= 1
            return
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        self._file.write(value.replace(b"\n", b" ") + b"\n")
        self._tell(value)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, StartError):
        await task
