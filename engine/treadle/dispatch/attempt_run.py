"""The life of one attempt: started or adopted, followed, waited for, stopped, concluded."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import IO, Any, TypeVar

from treadle.dispatch.outcome import Findings
from treadle.dispatch.output import OutputReader
from treadle.interface.attempt import Attempt, Exit, Reason
from treadle.interface.parser import Found, Interim
from treadle.interface.runtime import Runtime, StartError
from treadle.support.retrying import may_pass
from treadle.watch.changes import Changes
from treadle_spool import now

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_GLANCE = 0.02
"""Seconds after which output is followed as it grows; an attempt that is over by then needs no watch."""


class AttemptRun:
    """One attempt in the hands of its runtime, followed until it is over.

    `run` may be cancelled at any moment, and that leaves the attempt as it is: the next engine
    adopts it. Only `stop` ends it.
    """

    def __init__(
        self,
        attempt: Attempt,
        runtime: Runtime,
        reader: OutputReader,
        changes: Changes,
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
        self._changes = changes
        self._grace = grace
        self._interim = _InterimFile(attempt, on_interim)
        self._reason: Reason | None = None
        """Why it is to be stopped."""
        self._fault: BaseException | None = None
        """Why it can't be followed."""
        self._waiting: asyncio.Timeout | None = None
        """What the runtime is waited for in, as long as it is."""
        self._glance: asyncio.TimerHandle | None = None
        self._following: asyncio.Task[None] | None = None
        self.started = asyncio.Event()
        """Set once the runtime has started it; until then it had better not be interrupted."""

    def stop(self, reason: Reason = Reason.STOPPED) -> None:
        """Have the attempt stopped; the first reason counts."""
        if self._reason is None:
            self._reason = reason
            self._interrupt()

    async def run(self) -> Exit:
        """Bring the attempt to its end and return it; its output has been read by then.

        Raises StartError, and OSError for trouble of the host: then the attempt is as it was.
        """
        alarm = self._set_alarm()
        try:
            self._glance = asyncio.get_running_loop().call_later(_GLANCE, self._begin_to_follow)
            exit_ = await self._until_over()
            await self._end_following()
            if self._fault is not None:
                raise self._fault
            await self._read_rest()
            return exit_
        finally:
            if alarm is not None:
                alarm.cancel()
            await self._end_following()
            self.started.set()
            self._reader.close()
            self._interim.close()

    async def _until_over(self) -> Exit:
        try:
            async with asyncio.timeout(None) as self._waiting:
                if self._reason is not None:
                    self._interrupt()
                await self._guard(self._runtime.start(self.attempt))
                self.started.set()
                return self._own_end(await self._guard(self._runtime.wait(self.attempt)))
        except TimeoutError:  # ours: that of a runtime is a StartError by now
            pass
        finally:
            self._waiting = None
        if self._fault is not None:
            raise self._fault
        assert self._reason is not None
        return await self._stop(self._reason)

    def _interrupt(self) -> None:
        """Wait for the runtime no more."""
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def _guard(self, call: Coroutine[Any, Any, Value]) -> Value:
        """Await a call of the runtime; whatever it raises that is not trouble of the host is a StartError."""
        try:
            return await call
        except StartError:
            raise
        except Exception as error:  # a plugin's code may raise anything
            if may_pass(error):
                raise
            log.exception("runtime %s failed with job %s", self._runtime.name, self.attempt.job.id)
            await self._runtime.stop(self.attempt, self._grace)
            raise StartError("RUNTIME_ERROR", f"runtime {self._runtime.name} failed: {error}") from error

    def _own_end(self, exit_: Exit) -> Exit:
        """Return how it ended by itself; of a lost one nobody knows, so a stop that was asked for counts."""
        if exit_.reason is Reason.LOST and self._reason is not None:
            return dataclasses.replace(exit_, reason=self._reason)
        return exit_

    async def _stop(self, reason: Reason) -> Exit:
        """Stop the attempt in whichever phase it is; how its program took that does not matter."""
        await self._runtime.stop(self.attempt, self._grace)
        if not self.started.is_set():
            return Exit(reason)
        try:
            return dataclasses.replace(await self._guard(self._runtime.wait(self.attempt)), reason=reason)
        except StartError:
            return Exit(reason)

    def _set_alarm(self) -> asyncio.TimerHandle | None:
        """Have the attempt stopped at its timeout, counted from its start and not from ours."""
        if self.timeout is None:
            return None
        left = self.timeout - (now() - self.attempt.started).total_seconds()
        return asyncio.get_running_loop().call_later(max(0.0, left), self.stop, Reason.TIMED_OUT)

    # ------------------------------------------------------------------ its output

    def _begin_to_follow(self) -> None:
        self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Read the output as it grows, without end; a fault ends the waiting for the runtime."""
        try:
            with self._changes.inside(self.attempt.folder, self.attempt.stdout.name) as grown:
                while True:
                    self._take(self._reader.read_new())
                    if self._reader.at_end:
                        await grown.wait()
                        grown.clear()
                    else:
                        await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001  # it is raised where the attempt is waited for
            self._fault = error
            self._interrupt()

    async def _end_following(self) -> None:
        if self._glance is not None:
            self._glance.cancel()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _read_rest(self) -> None:
        self._take(self._reader.read_new())
        while not self._reader.at_end:
            await asyncio.sleep(0)
            self._take(self._reader.read_new())
        self._take(self._reader.finish())

    def _take(self, findings: Iterable[Found]) -> None:
        for found in findings:
            if isinstance(found, Interim):
                self._interim.add(found.value)
            else:
                self.findings.note(found)


class _InterimFile:
    """interim.jsonl, one value a line. What an earlier engine wrote there is not written or told again."""

    def __init__(self, attempt: Attempt, tell: Callable[[bytes], None]) -> None:
        self._path = attempt.folder / "interim.jsonl"
        self._tell = tell
        self._known = 0
        """How many of the next values stand there already."""
        self._file: IO[bytes] | None = None

    def add(self, value: bytes) -> None:
        if self._file is None:
            self._file = self._open()
        if self._known:
            self._known -= 1
            return
        self._file.write(value.replace(b"\n", b" ") + b"\n")
        self._tell(value)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> IO[bytes]:
        with suppress(FileNotFoundError):
            content = self._path.read_bytes()
            self._known = content.count(b"\n")
            if torn := len(content) - (content.rfind(b"\n") + 1):
                with self._path.open("r+b") as file:
                    file.truncate(len(content) - torn)
        return self._path.open("ab", buffering=0)
