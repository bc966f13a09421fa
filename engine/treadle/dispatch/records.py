"""The records of a job: of its attempts, in attempt.json, and of its end, in status.json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from treadle.interface.attempt import Exit
from treadle.interface.job import Job
from treadle.interface.runtime import Runtime
from treadle.interface.service import Service
from treadle_spool import AttemptRecord, LiveAttempt, State, Status, now
from treadle_spool.names import printable

if TYPE_CHECKING:
    from treadle.dispatch.toolbox import Toolbox

log = logging.getLogger(__name__)


def ended_record(attempt: AttemptRecord, exit_: Exit) -> AttemptRecord:
    """Return the record of an attempt that has ended."""
    return msgspec.structs.replace(
        attempt,
        ended=exit_.ended,
        reason=exit_.reason.value,
        code=exit_.code,
        signal=exit_.signal,
        cpu_seconds=exit_.cpu_seconds,
        peak_memory=exit_.peak_memory,
        detail=None if exit_.detail is None else printable(exit_.detail),
    )


def ended_status(
    job: Job, live: LiveAttempt, exit_: Exit, state: State, notes: Sequence[str] | None
) -> Status:
    """Return the status of a job whose last attempt has ended like this."""
    last = ended_record(live.attempt, exit_)
    return Status(
        id=job.id,
        service=job.service,
        status=state,
        created=job.created,
        started=(live.earlier or (last,))[0].started,
        ended=exit_.ended,
        labels=dict(job.labels),
        attempts=(*live.earlier, last),
        notes=tuple(map(printable, (*(notes or ()), *exit_.notes))),
    )


def bare_status(job: Job, state: State) -> Status:
    """Return the status of an ended job of which nothing else can be told."""
    return Status(id=job.id, service=job.service, status=state, created=job.created, ended=now())


def first_attempt(service: Service, tools: Toolbox) -> LiveAttempt:
    """Return the record of a job's first attempt, started at this moment."""
    record = AttemptRecord(number=1, runtime=service.runtime, started=now())
    live = LiveAttempt.beginning(record, service.name)
    runtime = tools.plugins.runtimes.get(service.runtime)
    return live if runtime is None else with_runtime(live, runtime, service)


def with_runtime(live: LiveAttempt, runtime: Runtime, service: Service) -> LiveAttempt:
    """Return the record of an attempt with its runtime, and the limits that the runtime sets."""
    try:
        limits = dict(runtime.limits(service))
    except Exception:  # a plugin's code may raise anything
        log.exception("runtime %s can't tell its limits", runtime.name)
        limits = {}
    attempt = msgspec.structs.replace(live.attempt, runtime=runtime.name, limits=limits)
    return msgspec.structs.replace(live, attempt=attempt)
