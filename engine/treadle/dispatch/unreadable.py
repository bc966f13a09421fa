"""The end of a claimed job that can't be read any more: its descriptor in run/ and in queue/, or its folder.

A program without a mount namespace may have overwritten it, or the disk is bad. Nothing tells how to go on
with it. What may be alive of it is stopped, and the job ends as FAILED, with the reason.
"""

from __future__ import annotations

import logging

import orjson

from treadle.dispatch.recovery import Recovered
from treadle.dispatch.toolbox import Toolbox
from treadle.interface.attempt import Attempt
from treadle.interface.service import Service
from treadle.support.retrying import retry_until_done
from treadle_spool import State, Status, now

log = logging.getLogger(__name__)


async def end_unreadable(found: Recovered, tools: Toolbox) -> None:
    """Bring the job to done/. Cancelled, it leaves the job to the next engine."""
    await _stop(found, tools)
    job, live = found.job, found.live
    attempts = (*live.earlier, live.attempt)
    status = Status(
        id=job.id,
        service=job.service,
        status=State.FAILED,
        created=job.created,
        started=attempts[0].started,
        ended=now(),
        attempts=attempts,
    )
    body = orjson.dumps({"code": "DAMAGED", "detail": found.problem})
    await retry_until_done(
        lambda: tools.finish((status, body)), f"job {job.id} is damaged, and its end can't be published"
    )


async def _stop(found: Recovered, tools: Toolbox) -> None:
    record, folder = found.live.attempt, tools.owner.spool.run / found.job.id
    runtime = tools.plugins.runtimes.get(record.runtime)
    if runtime is None:
        log.error("job %s is damaged: what may be alive of it is not known", found.job.id)
        return
    service = Service(found.job.service, folder)
    attempt = Attempt(found.job, service, folder, record.number, tools.owner.spool.id, record.started)
    try:
        await runtime.stop(attempt, tools.settings.grace)
    except Exception:  # a plugin's code may raise anything
        log.exception("runtime %s failed to stop job %s", runtime.name, found.job.id)
