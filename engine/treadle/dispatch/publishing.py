"""The publication of an outcome: the job is in done/ in the end, whatever disk or program do to it."""

from __future__ import annotations

import logging

import msgspec

from treadle.dispatch.outcome import Outcome, failure
from treadle.dispatch.records import bare_status
from treadle.dispatch.toolbox import Finish
from treadle.interface.job import Job
from treadle.support.retrying import retry_until_done
from treadle_spool import State, Status
from treadle_spool.untrusted import UntrustedFile

log = logging.getLogger(__name__)


async def publish(job: Job, status: Status, outcome: Outcome, finish: Finish) -> State:
    """Move a job to done/, as soon as the disk permits, and return its state there.

    A result that is no file, or can't be written, becomes a failure.
    """
    try:
        await _finish(status, outcome, finish)
    except UntrustedFile as error:
        outcome = failure("INVALID_RESULT", f"the result can't be read: {error.strerror}")
        await _finish(msgspec.structs.replace(status, status=outcome.state), outcome, finish)
    except Exception as error:
        log.exception("the outcome of job %s can't be written", job.id)
        outcome = failure("ENGINE_ERROR", f"its outcome can't be written: {error!r}")
        await _finish(bare_status(job, outcome.state), outcome, finish)
    return outcome.state


async def _finish(status: Status, outcome: Outcome, finish: Finish) -> None:
    await retry_until_done(
        lambda: finish((status, outcome.result)),
        f"job {status.id} has ended, but its outcome can't be published",
        hopeless=lambda error: isinstance(error, UntrustedFile),
    )
