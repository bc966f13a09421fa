"""Attempts without an engine: for tests that call the methods of a runtime or a program themselves."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import msgspec

from treadle.interface.attempt import Attempt
from treadle.interface.job import Job
from treadle.interface.service import Service
from treadle_spool import Accepted, AttemptRecord, Descriptor, LiveAttempt, now
from treadle_spool.folder import JOB


def make_attempt(
    folder: Path,
    *,
    service: Service | None = None,
    job: str = "job",
    number: int = 1,
    spool_id: str | None = None,
    data: bytes = b"{}",
    params: bytes = b"{}",
    **fields: Any,
) -> Attempt:
    """Make an attempt of a claimed job below a folder that stands for the spool, and return it.

    Makes `<folder>/run/<job>/` with job.json, and `<folder>/tmp/`; a program's and a runtime's methods need
    no more. The runtime `host` hides `folder` from its programs, the project and their input apart. `data`
    and `params` are the raw bytes of the input, and `fields` the further fields of the descriptor
    (`timeout`, `labels`, `priority`). If the job has its folder already, its job.json is kept and counts: so
    a next attempt, or the same one as another engine sees it, is made by another call.

    The default service is named `test`, and its project is `<folder>/project`. The default spool id is one
    of its own for each folder, so that containers of two tests have different names.
    """
    service = service or Service("test", folder / "project")
    attempt_folder = folder / "run" / job
    if not (descriptor := attempt_folder / JOB).exists():
        attempt_folder.mkdir(parents=True, exist_ok=True)
        (folder / "tmp").mkdir(exist_ok=True)
        request = Descriptor(
            service=service.name, data=msgspec.Raw(data), params=msgspec.Raw(params), **fields
        )
        descriptor.write_bytes(request.accepted(now()).to_json())
    claimed = Job.of(job, Accepted.from_json(descriptor.read_bytes()))
    spool_id = spool_id or uuid.uuid5(uuid.NAMESPACE_URL, str(folder.absolute())).hex
    return Attempt(claimed, service, attempt_folder, number, spool_id, now())


def live_attempt(number: int = 1, runtime: str = "test", **fields: Any) -> LiveAttempt:
    """Return the record of an attempt that starts now, as attempt.json holds it.

    For tests that claim a job on a spool without an engine. `fields` are further fields of the record.
    """
    record = {"number": number, "runtime": runtime, "started": now(), **fields}
    return LiveAttempt(attempt=AttemptRecord(**record))
