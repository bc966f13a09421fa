"""The end of a claimed job that can't be read any more: its descriptor in run/ and in queue/, or its folder.

A program without a mount namespace may have overwritten it, or the disk is bad. Nothing tells how to go on
with it. What may be alive of it is stopped, and the job ends as FAILED, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from treadle.dispatch.outcome import failure
from treadle.dispatch.recovery import Recovered
from treadle.dispatch.stopping import stop_unfollowed
from treadle.dispatch.toolbox import Toolbox
from treadle.extend.selection import candidates
from treadle.interface.attempt import Attempt
from treadle.interface.service import Service
from treadle.support.retrying import retry_until_done
from treadle_spool import Status, now


async def end_unreadable(found: Recovered, services: Iterable[Service], tools: Toolbox) -> None:
    """Bring the job to done/. Cancelled, it leaves the job to the next engine.

    services are those that are served, one of which is the job's.
    """
    await _stop(found, services, tools)
    job, live = found.job, found.live
    attempts = (*live.earlier, live.attempt)
    outcome = failure("JOB_DAMAGED", found.problem)
    status = Status(
        id=job.id,
        service=job.service,
        status=outcome.state,
        created=job.created,
        started=attempts[0].started,
        ended=now(),
        attempts=attempts,
    )
    await retry_until_done(
        lambda: tools.finish((status, outcome.result)),
        f"job {job.id} is damaged, and its end can't be published",
    )


async def _stop(found: Recovered, services: Iterable[Service], tools: Toolbox) -> None:
    """Stop its attempts by their runtime, or, where that is not known, by each that is used.

    The number of the one that is alive is not certain, since its record may be gone: each may be the one.
    """
    record, folder = found.live.attempt, tools.owner.spool.run / found.job.id
    service = Service(found.job.service, folder)
    names = {record.runtime} if record.runtime else {each.runtime for each in services}
    for runtime in {each for name in names for each in candidates(tools.plugins, name)}:
        for number in range(1, max(record.number, tools.settings.attempts) + 1):
            attempt = Attempt(found.job, service, folder, number, tools.owner.spool.id, record.started)
            await stop_unfollowed(runtime, attempt, tools.settings.grace)
