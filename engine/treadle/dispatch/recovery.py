"""What a start does with what it finds in run/: every folder there is gone on with, or taken back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from treadle.interface.job import Job
from treadle.interface.service import Service
from treadle_spool import AttemptRecord, InvalidDescriptor, LiveAttempt, Spool, SpoolError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A job that an earlier engine claimed and did not bring to its end."""

    job: Job
    live: LiveAttempt


def recover(spool: Spool, services: Mapping[str, Service], runs: Callable[[str], object]) -> Iterator[Found]:
    """Yield the jobs in run/ whose attempts must be gone on with; take back what was claimed and never begun.

    A job whose service is not served any more, or whose runtime is not installed (runs says so), stays
    where it is: its program may still be running, and only that runtime can tell.
    """
    for name in list(spool.names(spool.run)):
        try:
            found = _read(spool, name, services)
        except FileNotFoundError:
            spool.undo_claim(name)
        except (OSError, SpoolError) as error:
            log.error("%s can't be recovered: %s", spool.run / name, error)
        else:
            runtime = found.live.attempt.runtime
            if found.job.service not in services:
                log.warning("job %s waits for service %r, which is not served", name, found.job.service)
            elif not runs(runtime):
                log.warning("job %s waits for runtime %r, which is not installed", name, runtime)
            else:
                yield found


def _read(spool: Spool, name: str, services: Mapping[str, Service]) -> Found:
    """Read a claimed job; raise FileNotFoundError if its claim was never completed."""
    job = Job.of(name, spool.read_claimed(name))
    try:
        live = spool.read_live(name)
    except InvalidDescriptor:
        # The file is there but a power cut took its content: the attempt had begun, and is dead now.
        live = spool.record_attempt(name, _torn(spool, job, services))
    if (spool.run / name / "attempts" / str(live.attempt.number)).exists():
        live = spool.next_attempt(name, live)
    return Found(job, live)


def _torn(spool: Spool, job: Job, services: Mapping[str, Service]) -> LiveAttempt:
    away = spool.run / job.id / "attempts"
    number = 1 + (sum(1 for _ in away.iterdir()) if away.exists() else 0)
    runtime = services[job.service].runtime if job.service in services else ""
    return LiveAttempt(attempt=AttemptRecord(number=number, runtime=runtime, started=job.created))
