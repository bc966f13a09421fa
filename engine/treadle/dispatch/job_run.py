"""The run of one claimed job: its attempts one after the other, and the publication of its outcome.

Whatever fails on the way, the job ends and its slot comes free:

| what fails | what becomes of the job |
| --- | --- |
| this host lacks what the service needs (Unavailable), and nothing has begun | it is put back, and waits |
| a plugin, in any of its methods | FAILED, with the code of the plugin's kind |
| the job's folder: removed, or not a folder any more | FAILED, FOLDER_DESTROYED; no further attempt |
| anything else that is not expected, a bug of ours too | its attempt is stopped; FAILED, ENGINE_ERROR |
| the disk, while the outcome is published | it is published as soon as the disk permits |
| the file that was to be the result is none | FAILED, INVALID_RESULT |
| an outcome that can't be written as JSON | FAILED, ENGINE_ERROR |
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from functools import partial

import msgspec

from treadle.dispatch.attempt_run import AttemptRun
from treadle.dispatch.attempt_sync import AttemptSync
from treadle.dispatch.following import OutputFollower
from treadle.dispatch.guarded import wrapped
from treadle.dispatch.outcome import Outcome, conclude, failure
from treadle.dispatch.output import Findings, OutputReader
from treadle.dispatch.publishing import publish
from treadle.dispatch.records import ended_record, ended_status, with_runtime
from treadle.dispatch.stopping import stop_unfollowed
from treadle.dispatch.toolbox import Toolbox
from treadle.extend.selection import choose_runtime, program_for
from treadle.interface.attempt import Attempt, Exit, Reason
from treadle.interface.job import Job
from treadle.interface.parser import OutputParser
from treadle.interface.runtime import Runtime, StartError, Unavailable
from treadle.interface.service import Service
from treadle.support.retrying import backoff, may_pass, retry_until_done
from treadle_spool import LiveAttempt, State
from treadle_spool.untrusted import is_folder, is_misplaced

log = logging.getLogger(__name__)

_BY_ITSELF = frozenset({Reason.ENDED, Reason.LOST, Reason.NOT_STARTED})
"""The reasons for which what an attempt has left in its folder decides about its outcome."""


class JobRun:
    """One claimed job, from its first attempt, or the one that an earlier engine started, to done/.

    Cancelling the task of `run` (the engine stops) leaves the job as it is, for the next engine.
    """

    def __init__(
        self,
        job: Job,
        service: Service,
        live: LiveAttempt,
        tools: Toolbox,
        *,
        fresh: bool = False,
        put_away: bool = False,
    ) -> None:
        """Run a claimed job.

        fresh: this engine has just claimed it, and nothing of it can have begun. put_away: its attempt was
        being put away for the next one (recovery.py).
        """
        self.job = job
        self.service = service
        self._live = live
        self._fresh = fresh
        self._put_away = put_away
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
        """Bring the job to done/; call on_over as soon as none of its processes is alive.

        Raises Unavailable, and nothing else, if the job has to wait: nothing of it has begun.
        """
        try:
            exit_, outcome = await self._attempts()
        except Unavailable:
            raise
        except Exception as error:
            log.exception("the run of job %s failed", self.job.id)
            await self._give_up()
            detail = f"the engine failed with this job: {error!r}"
            exit_, outcome = Exit(Reason.LOST, detail=detail), failure("ENGINE_ERROR", detail)
        on_over()
        notes = self._attempt_run.findings.notes if self._attempt_run is not None else None
        status = ended_status(self.job, self._live, exit_, outcome.state, notes)
        state = await publish(self.job, status, outcome, self._tools.finish)
        del outcome
        self._attempt_run = None  # it has the result, and holds this run
        self._tools.observers.tell("job_changed", job=self.job, before=State.RUNNING, after=state)
        await self._clean_up()

    async def _give_up(self) -> None:
        """Have the attempt stopped that is not followed any more."""
        if self._runtime is not None:
            await stop_unfollowed(self._runtime, self._attempt(), self._tools.settings.grace)

    async def _attempts(self) -> tuple[Exit, Outcome]:
        while True:
            runtime = self._runtime = self._runtime or await self._choose()
            attempt = self._attempt()
            if self._put_away:
                exit_, outcome = await self._interrupted(attempt)
            else:
                exit_, outcome = await self._outcome(attempt, runtime)
            if exit_.reason in _BY_ITSELF and not is_folder(attempt.folder):
                return exit_, failure("FOLDER_DESTROYED", "its folder was removed or replaced while it ran")
            if not self._may_retry(exit_):
                return exit_, outcome
            log.warning("job %s: attempt %d was lost: %s", self.job.id, attempt.number, exit_.detail)
            self._live = await retry_until_done(
                partial(asyncio.to_thread, self._next_attempt, exit_),
                f"the next attempt of job {self.job.id} can't be recorded",
                hopeless=is_misplaced,
            )
            self._put_away = self._fresh = False

    async def _interrupted(self, attempt: Attempt) -> tuple[Exit, Outcome]:
        """Return the end of an attempt that was being put away; if it is alive, it is stopped."""
        await self._give_up()
        reason = Reason.STOPPED if self._cancelled else Reason.LOST
        exit_ = Exit(reason, detail="the engine ended while it put the attempt away")
        return exit_, conclude(attempt, exit_, Findings(), None, 0)

    async def _choose(self) -> Runtime:
        """Choose the first runtime that works on this host, and record it before the attempt starts."""
        runtime = await choose_runtime(self._tools.plugins, self.service)
        live = with_runtime(self._live, runtime, self.service)
        self._live = await retry_until_done(
            partial(asyncio.to_thread, self._tools.owner.record_attempt, self.job.id, live),
            f"the runtime of job {self.job.id} can't be recorded",
            hopeless=is_misplaced,
        )
        return runtime

    async def _outcome(self, attempt: Attempt, runtime: Runtime) -> tuple[Exit, Outcome]:
        try:
            async with wrapped(self._tools.plugins, attempt):
                attempt_run, exit_ = await self._bring_to_end(attempt, runtime)
        except StartError as error:
            if isinstance(error, Unavailable) and self._fresh and not self._cancelled:
                raise
            exit_ = Exit(Reason.NOT_STARTED, detail=str(error))
            return exit_, failure(error.code, str(error))
        limit = self._tools.settings.max_result
        return exit_, conclude(attempt, exit_, attempt_run.findings, attempt_run.timeout, limit)

    async def _bring_to_end(self, attempt: Attempt, runtime: Runtime) -> tuple[AttemptRun, Exit]:
        """Run the attempt to its end; after a transient error adopt it again, as a new engine would."""
        begun = self._live.begun()
        for delay in backoff():
            try:
                attempt_run = self._attempt_run = self._new_run(attempt, runtime, begun)
            except StartError:  # an earlier engine may have started it
                await self._give_up()
                raise
            if self._cancelled:
                attempt_run.stop()
            try:
                with AttemptSync(self._tools, attempt, begun, attempt_run.started):
                    return attempt_run, await attempt_run.run()
            except OSError as error:
                if not may_pass(error):
                    raise
                log.error("job %s can't be followed: %s; trying again in %g s", self.job.id, error, delay)
                self._fresh = False
                await asyncio.sleep(delay)
        raise AssertionError("backoff has no end")

    def _attempt(self) -> Attempt:
        return Attempt(
            job=self.job,
            service=self.service,
            folder=self._tools.owner.spool.run / self.job.id,
            number=self._live.attempt.number,
            spool_id=self._tools.owner.spool.id,
            started=self._live.attempt.started,
        )

    def _new_run(self, attempt: Attempt, runtime: Runtime, begun: float) -> AttemptRun:
        tools = self._tools
        limits = [limit for limit in (self.job.timeout, self.service.timeout) if limit is not None]
        longest = self._live.attempt.longest_output
        reader = OutputReader(attempt.stdout, self._parser(), tools.settings.max_result, longest)
        return AttemptRun(
            attempt,
            program_for(tools.plugins, self.service, runtime),
            runtime,
            OutputFollower(attempt, reader, tools.changes, tools.parsing, self._tell_interim),
            begun=begun,
            timeout=min(limits, default=None),
            grace=tools.settings.grace,
        )

    def _parser(self) -> OutputParser:
        try:
            return self._tools.plugins.parsers[self.service.parser]()
        except Exception as error:  # a plugin's code may raise anything
            log.exception("output parser %s can't be made", self.service.parser)
            raise StartError(
                "PARSER_ERROR", f"output parser {self.service.parser} failed: {error}"
            ) from error

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
        ended = ended_record(self._live.attempt, exit_)
        return self._tools.owner.next_attempt(self.job.id, msgspec.structs.replace(self._live, attempt=ended))

    async def _clean_up(self) -> None:
        if self._runtime is None:
            return
        attempt = dataclasses.replace(self._attempt(), folder=self._tools.owner.spool.done / self.job.id)
        try:
            await self._runtime.cleanup(attempt)
        except Exception:  # a plugin's code may raise anything
            log.exception("runtime %s failed to clean up after job %s", self._runtime.name, self.job.id)
