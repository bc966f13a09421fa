"""Recovery: what an engine does at its start with each folder in run/.

A claim without a begun attempt is undone; every other attempt is adopted. Legal states of run/<id>:

| job.json | attempt.json | attempts/<n> of this number | meaning | what happens |
| --- | --- | --- | --- | --- |
| no | - | - | killed within the claim | the claim is undone |
| yes | no | - | killed within the claim | the claim is undone |
| yes | yes | no | the attempt was begun | it is adopted |
| yes | damaged | - | a power cut took the content | the attempt counts as begun, and is adopted (and lost) |
| yes | yes | yes | killed while the next attempt was prepared | the next attempt is recorded, and adopted |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from treadle.interface.job import Job
from treadle.interface.service import RENAMED_RUNTIMES, Service
from treadle_spool import (
    AttemptRecord,
    InvalidDescriptor,
    LiveAttempt,
    Owner,
    SpoolError,
    State,
    Status,
    now,
)
from treadle_spool.folder import ATTEMPTS, archive
from treadle_spool.names import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A job that an earlier engine claimed and did not finish."""

    job: Job
    live: LiveAttempt


def recover(
    owner: Owner, services: Mapping[str, Service], runs: Callable[[str], object]
) -> Iterator[Recovered]:
    """Yield the jobs in run/ whose attempts are to be adopted, and undo claims without an attempt.

    runs returns whether a runtime of that name is installed. A job whose service is not served, or whose
    runtime is not installed, stays in run/: its program may be alive, and only its runtime can tell.
    """
    spool = owner.spool
    for name in list(spool.names(spool.run)):
        try:
            if not owner.mend(name):
                continue
            recovered = _read(owner, name, services)
        except FileNotFoundError:
            owner.undo_claim(name)
        except InvalidDescriptor as error:
            log.error("job %s ends, since nothing tells any more what it was: %s", name, error)
            owner.finish(*_unreadable(name, error))
        except (OSError, SpoolError) as error:
            log.error("%s can't be recovered: %s", spool.run / name, error)
        else:
            runtime = recovered.live.attempt.runtime
            if recovered.job.service not in services:
                log.warning("job %s waits for service %r, which is not served", name, recovered.job.service)
            elif not runs(runtime):
                log.warning("job %s waits for runtime %r, which is not installed", name, runtime)
            else:
                yield recovered


def _read(owner: Owner, name: str, services: Mapping[str, Service]) -> Recovered:
    """Read a claimed job; raise FileNotFoundError if its claim was not completed."""
    spool = owner.spool
    job = Job.of(name, spool.read_claimed(name))
    try:
        live = spool.read_live(name)
    except InvalidDescriptor:
        # A power cut took the file's content: the attempt had begun, and its processes are dead.
        live = owner.record_attempt(name, _damaged(spool.run / name, job, services))
    if archive(spool.run / name, live.attempt.number).exists():
        live = owner.next_attempt(name, live)
    return Recovered(job, _with_present_name(live))


def _unreadable(name: str, error: InvalidDescriptor) -> tuple[Status, bytes]:
    """Return the outcome of a job whose descriptor and records are damaged."""
    body = {"code": "JOB_DAMAGED", "detail": printable(str(error))}
    status = Status(id=name, service="", status=State.FAILED, created=now(), ended=now())
    return status, msgspec.json.encode(body)


def _with_present_name(live: LiveAttempt) -> LiveAttempt:
    """Return the record with its runtime's name of today."""
    name = RENAMED_RUNTIMES.get(live.attempt.runtime)
    if name is None:
        return live
    return msgspec.structs.replace(live, attempt=msgspec.structs.replace(live.attempt, runtime=name))


def _damaged(folder: Path, job: Job, services: Mapping[str, Service]) -> LiveAttempt:
    away = folder / ATTEMPTS
    number = 1 + (sum(1 for _ in away.iterdir()) if away.exists() else 0)
    runtime = services[job.service].runtime if job.service in services else ""
    record = AttemptRecord(number=number, runtime=runtime, started=job.created)
    return LiveAttempt(attempt=record, service=job.service)
