"""The run of one attempt: its runtime starts or adopts it, its output is followed, its end is awaited.

    Program.command ──▶ Runtime.start ──▶ Runtime.wait ──▶ Program.returned ──▶ read the rest of the output
                          │                 │                                                  ▲
                          └── cancel, timeout ──▶ Runtime.stop ──▶ Runtime.wait ──▶ the reason ┘

- `start` and `wait` of the runtime run inside a cancel scope. `stop`, the timeout and a fault while the
  output is followed leave that scope early, and the run goes on behind it.
- The output is followed only from the moment when the attempt has lasted a little: one that is over before
  is read once, and needs no inotify watch.
- The timeout counts from the attempt's start, not from ours: it continues over restarts of the engine. It is
  measured by the kernel's clock, which nobody sets. The event loop's timers stand still while the host is
  suspended; so no timer is longer than _LONGEST_SLEEP, and at its end the clock is looked at.
- A stop that fails ends the job as failed, since nobody knows whether its program is alive.
- Without a command the job fails. Its attempt is stopped before: an earlier engine may have started it.
- A transient error of the host (`may_pass`) ends this run, and not the attempt: `JobRun` makes a new run,
  which adopts the attempt as a new engine would. Any other exception of the runtime stops the attempt and
  becomes a StartError with the code RUNTIME_ERROR.
- Until `started` is set it is open whether the attempt has begun. A runtime that is interrupted there leaves
  something that `Runtime.stop` can deal with; so an engine that stops waits a moment for it.

Dropped: a task of its own for `start` and `wait`, which could be cancelled as well; it costs each job a task
and two switches of the event loop. And an inotify watch for each attempt from its start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from treadle.dispatch.following import OutputFollower
from treadle.interface.attempt import Attempt, Exit, Reason, check_exit
from treadle.interface.program import Command, Program, check_command
from treadle.interface.runtime import Runtime, StartError
from treadle.support.cancel_scope import CancelScope
from treadle.support.retrying import may_pass
from treadle_spool import uptime

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_LONGEST_SLEEP = 60.0
"""Seconds after which the clock is looked at again, for a timeout that is farther away."""


class AttemptRun:
    """One attempt in its runtime, followed until it is over; made anew for each time that it is followed.

    `run` may be cancelled at any moment, and leaves the attempt as it is: the next engine adopts it.
    Only `stop` ends the attempt.
    """

    def __init__(
        self,
        attempt: Attempt,
        program: Program | None,
        runtime: Runtime,
        output: OutputFollower,
        *,
        begun: float,
        timeout: float | None,
        grace: float,
    ) -> None:
        """Follow an attempt that began at a moment of uptime()."""
        self.attempt = attempt
        self.findings = output.findings
        self.timeout = timeout
        self._program = program
        """None for a runtime that is the program and the place in one."""
        self._runtime = runtime
        self._output = output
        self._grace = grace
        self._begun = begun
        self._alarm: asyncio.TimerHandle | None = None
        self._scope = CancelScope()
        """The block in which the runtime starts and awaits the attempt."""
        self._stop_reason: Reason | None = None
        self.started = asyncio.Event()
        """Set once the runtime has started the attempt; before that it should not be interrupted."""

    def stop(self, reason: Reason = Reason.STOPPED) -> None:
        """Have the attempt stopped; the first reason counts."""
        if self._stop_reason is None:
            self._stop_reason = reason
            self._scope.cancel()

    async def run(self) -> Exit:
        """Bring the attempt to its end and return it, with its output read.

        Raises StartError, and OSError for a transient error: then the attempt is unchanged.
        """
        self._set_alarm()
        try:
            self._output.follow(on_fault=self._scope.cancel)
            exit_ = await self._until_over()
            await self._output.read_rest()
            return exit_
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            self.started.set()
            await self._output.close()

    async def _until_over(self) -> Exit:
        async with self._scope:
            await self._guard(self._start())
            self.started.set()
            return self._own_end(await self._guard(self._wait()))
        self._output.raise_fault()
        assert self._stop_reason is not None
        return await self._stop(self._stop_reason)

    async def _start(self) -> None:
        if self._program is None:
            await self._runtime.start(self.attempt)  # type: ignore[call-arg]  # one of the older interface
        else:
            await self._runtime.start(self.attempt, await self._command(self._program))

    async def _command(self, program: Program) -> Command:
        """Return the program's command; its own failure is not the runtime's.

        Where there is none, the job ends. An earlier engine may have started the attempt, so it is stopped.
        """
        try:
            with _blaming(program):
                command = await program.command(self.attempt)
                check_command(command, program)
        except StartError:
            await self._call_stop()
            raise
        return command

    async def _wait(self) -> Exit:
        exit_ = await self._runtime.wait(self.attempt)
        check_exit(exit_)
        if self._program is None or exit_.reason is not Reason.ENDED:
            return exit_
        with _blaming(self._program):
            exit_ = self._program.returned(self.attempt, exit_)
            check_exit(exit_)
            return exit_

    async def _guard(self, call: Coroutine[Any, Any, Value]) -> Value:
        """Await a call of the runtime; raise StartError for each exception that is not a transient error."""
        try:
            return await call
        except StartError:
            raise
        except Exception as error:  # a plugin's code may raise anything
            if may_pass(error):
                raise
            log.exception("runtime %s failed with job %s", self._runtime.name, self.attempt.job.id)
            await self._call_stop()
            raise StartError("RUNTIME_ERROR", f"runtime {self._runtime.name} failed: {error}") from error

    def _own_end(self, exit_: Exit) -> Exit:
        """Return how the attempt ended by itself; for a lost one, a stop that was asked for counts."""
        if exit_.reason is Reason.LOST and self._stop_reason is not None:
            return dataclasses.replace(exit_, reason=self._stop_reason)
        return exit_

    async def _stop(self, reason: Reason) -> Exit:
        """Stop the attempt in any of its phases; its exit status does not change the reason."""
        await self._call_stop()
        if not self.started.is_set():
            return Exit(reason)
        try:
            return dataclasses.replace(await self._guard(self._wait()), reason=reason)
        except StartError:
            return Exit(reason)

    async def _call_stop(self) -> None:
        """Have the runtime stop the attempt; raise OSError at a transient error, else StartError."""
        try:
            await self._runtime.stop(self.attempt, self._grace)
        except Exception as error:  # a plugin's code may raise anything
            if may_pass(error):
                raise
            log.exception("runtime %s failed to stop job %s", self._runtime.name, self.attempt.job.id)
            detail = f"runtime {self._runtime.name} failed to stop it: {error}"
            raise StartError("RUNTIME_ERROR", detail) from error

    def _set_alarm(self) -> None:
        """Have the attempt stopped at its timeout, counted from its start."""
        if self.timeout is not None:
            left = self._begun + self.timeout - uptime()
            delay = min(max(0.0, left), _LONGEST_SLEEP)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._look_at_the_clock, self.timeout)

    def _look_at_the_clock(self, timeout: float) -> None:
        if uptime() - self._begun < timeout:
            self._set_alarm()
        else:
            self.stop(Reason.TIMED_OUT)


@contextmanager
def _blaming(program: Program) -> Iterator[None]:
    """Turn each exception of a program, except transient errors, into a StartError that names the program."""
    try:
        yield
    except StartError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        if may_pass(error):
            raise
        log.exception("program %s failed", program.name)
        raise StartError("PROGRAM_ERROR", f"program {program.name} failed: {error}") from error
