"""The run of one claimed job: its attempts one after the other, and the publication of its outcome."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec

from treadle.dispatch.attempt_run import AttemptRun
from treadle.dispatch.attempt_sync import AttemptSync
from treadle.dispatch.outcome import Outcome, conclude, failure
from treadle.dispatch.output import OutputFollower, OutputReader
from treadle.dispatch.toolbox import Toolbox
from treadle.extend.selection import choose_runtime, program_for
from treadle.interface.attempt import Attempt, Exit, Reason
from treadle.interface.job import Job
from treadle.interface.runtime import Runtime, StartError
from treadle.interface.service import Service
from treadle.support.retrying import backoff, may_pass, retry_until_done
from treadle_spool import AttemptRecord, LiveAttempt, State, Status, now

log = logging.getLogger(__name__)


class JobRun:
    """One claimed job, from its first attempt, or the one that an earlier engine started, to done/.

    Cancelling the task of `run` (the engine stops) leaves the job as it is, for the next engine.
    """

    def __init__(self, job: Job, service: Service, live: LiveAttempt, tools: Toolbox) -> None:
        self.job = job
        self.service = service
        self._live = live
        self._tools = tools
        self._runtime: Runtime | None = tools.plugins.runtimes.get(live.attempt.runtime)
        self._attempt_run: AttemptRun | None = None
        self._cancelled = False

    async def started(self) -> None:
        """Wait until the runtime has started the present attempt."""
        if self._attempt_run is not None:
            await self._attempt_run.started.wait()

    def cancel(self) -> None:
        """Have the job end as CANCELLED, unless it has ended by itself."""
        self._cancelled = True
        if self._attempt_run is not None:
            self._attempt_run.stop()

    async def run(self, on_over: Callable[[], None]) -> None:
        """Bring the job to done/; call on_over as soon as none of its processes is alive."""
        exit_, outcome = await self._attempts()
        on_over()
        await self._publish(exit_, outcome)
        self._tools.observers.tell("job_changed", job=self.job, before=State.RUNNING, after=outcome.state)
        await self._clean_up()

    async def _attempts(self) -> tuple[Exit, Outcome]:
        while True:
            runtime = self._runtime = self._runtime or await self._choose()
            attempt = self._attempt()
            exit_, outcome = await self._outcome(attempt, runtime)
            if not self._may_retry(exit_):
                return exit_, outcome
            log.warning(
                "job %s: attempt %d was lost: %s; trying again", self.job.id, attempt.number, exit_.detail
            )
            self._live = await retry_until_done(
                partial(asyncio.to_thread, self._next_attempt, exit_),
                f"the next attempt of job {self.job.id} can't be recorded",
            )

    async def _choose(self) -> Runtime:
        """Choose the first runtime that works on this host, and record it before the attempt starts."""
        runtime = await choose_runtime(self._tools.plugins, self.service)
        live = _with_runtime(self._live, runtime, self.service)
        self._live = await retry_until_done(
            partial(asyncio.to_thread, self._tools.owner.record_attempt, self.job.id, live),
            f"the runtime of job {self.job.id} can't be recorded",
        )
        return runtime

    async def _outcome(self, attempt: Attempt, runtime: Runtime) -> tuple[Exit, Outcome]:
        try:
            async with self._wrapped(attempt):
                attempt_run, exit_ = await self._bring_to_end(attempt, runtime)
        except StartError as error:
            exit_ = Exit(Reason.NOT_STARTED, detail=str(error))
            return exit_, failure(error.code, str(error))
        limit = self._tools.settings.max_result
        return exit_, conclude(attempt, exit_, attempt_run.findings, attempt_run.timeout, limit)

    async def _bring_to_end(self, attempt: Attempt, runtime: Runtime) -> tuple[AttemptRun, Exit]:
        """Run the attempt to its end; after a transient error adopt it again, as a new engine would."""
        tools = self._tools
        for delay in backoff():
            attempt_run = self._attempt_run = self._new_run(attempt, runtime)
            if self._cancelled:
                attempt_run.stop()
            try:
                with AttemptSync(tools.owner, attempt, attempt_run.started, tools.sync_after):
                    return attempt_run, await attempt_run.run()
            except OSError as error:
                if not may_pass(error):
                    raise
                log.error("job %s can't be followed: %s; trying again in %g s", self.job.id, error, delay)
                await asyncio.sleep(delay)
        raise AssertionError("backoff has no end")

    @asynccontextmanager
    async def _wrapped(self, attempt: Attempt) -> AsyncIterator[None]:
        """Enter the plugins' wrap_run contexts around the attempt, except those that fail."""
        async with AsyncExitStack() as stack:
            for name, implementation in self._tools.plugins.implementations("wrap_run"):
                try:
                    context = implementation(attempt=attempt)
                    await stack.enter_async_context(_Guarded(name, context))
                except Exception:  # a plugin's code may raise anything
                    log.exception("plugin %s failed in wrap_run", name)
            yield

    def _attempt(self) -> Attempt:
        return Attempt(
            job=self.job,
            service=self.service,
            folder=self._tools.owner.spool.run / self.job.id,
            number=self._live.attempt.number,
            spool_id=self._tools.owner.spool.id,
            started=self._live.attempt.started,
        )

    def _new_run(self, attempt: Attempt, runtime: Runtime) -> AttemptRun:
        tools = self._tools
        limits = [limit for limit in (self.job.timeout, self.service.timeout) if limit is not None]
        reader = OutputReader(
            attempt.stdout, tools.plugins.parsers[self.service.parser](), tools.settings.max_result
        )
        return AttemptRun(
            attempt,
            program_for(tools.plugins, self.service, runtime),
            runtime,
            OutputFollower(attempt, reader, tools.changes, self._tell_interim),
            timeout=min(limits, default=None),
            grace=tools.settings.grace,
        )

    def _tell_interim(self, value: bytes) -> None:
        self._tools.observers.tell("interim_result", job=self.job, value=value)

    def _may_retry(self, exit_: Exit) -> bool:
        return (
            exit_.reason is Reason.LOST
            and not self._cancelled
            and self.service.retry == "lost"
            and self._live.attempt.number < self._tools.settings.attempts
        )

    def _next_attempt(self, exit_: Exit) -> LiveAttempt:
        ended = _record(self._live.attempt, exit_)
        return self._tools.owner.next_attempt(
            self.job.id, LiveAttempt(attempt=ended, earlier=self._live.earlier)
        )

    async def _publish(self, exit_: Exit, outcome: Outcome) -> None:
        """Move the job to done/; a full or failing disk delays that, and does not prevent it."""
        assert self._attempt_run is not None
        last = _record(self._live.attempt, exit_)
        status = Status(
            id=self.job.id,
            service=self.job.service,
            status=outcome.state,
            created=self.job.created,
            started=(self._live.earlier or (last,))[0].started,
            ended=exit_.ended,
            labels=dict(self.job.labels),
            attempts=(*self._live.earlier, last),
            notes=tuple(self._attempt_run.findings.notes or ()),
        )
        await retry_until_done(
            lambda: self._tools.finish((status, outcome.result)),
            f"job {self.job.id} has ended, but its outcome can't be published",
        )

    async def _clean_up(self) -> None:
        attempt = dataclasses.replace(self._attempt(), folder=self._tools.owner.spool.done / self.job.id)
        assert self._runtime is not None
        try:
            await self._runtime.cleanup(attempt)
        except Exception:  # a plugin's code may raise anything
            log.exception("runtime %s failed to clean up after job %s", self._runtime.name, self.job.id)


class _Guarded:
    """A plugin's async context; an exception when it is left is logged, and not raised."""

    def __init__(self, name: str, context: object) -> None:
        self._name = name
        self._context: object = context

    async def __aenter__(self) -> None:
        await self._context.__aenter__()  # type: ignore[attr-defined]  # if it is no context, that is the plugin's error

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._context.__aexit__(*error)  # type: ignore[attr-defined]  # it has been entered
        except Exception:  # a plugin's code may raise anything
            log.exception("plugin %s failed in leaving wrap_run", self._name)


def _record(attempt: AttemptRecord, exit_: Exit) -> AttemptRecord:
    return msgspec.structs.replace(
        attempt,
        ended=exit_.ended,
        reason=exit_.reason.value,
        code=exit_.code,
        signal=exit_.signal,
        detail=exit_.detail,
    )


def first_attempt(service: Service, tools: Toolbox) -> LiveAttempt:
    """Return the record of a job's first attempt, started at this moment."""
    live = LiveAttempt(attempt=AttemptRecord(number=1, runtime=service.runtime, started=now()))
    runtime = tools.plugins.runtimes.get(service.runtime)
    return live if runtime is None else _with_runtime(live, runtime, service)


def _with_runtime(live: LiveAttempt, runtime: Runtime, service: Service) -> LiveAttempt:
    """Return the record of an attempt with its runtime, and the limits that the runtime sets."""
    try:
        limits = dict(runtime.limits(service))
    except Exception:  # a plugin's code may raise anything
        log.exception("runtime %s can't tell its limits", runtime.name)
        limits = {}
    attempt = msgspec.structs.replace(live.attempt, runtime=runtime.name, limits=limits)
    return msgspec.structs.replace(live, attempt=attempt)
