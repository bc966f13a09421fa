"""The spool backend: the jobs of a spool's folder. It needs no server, and mostly no engine."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import orjson

from treadle.cli.backends.base import Request
from treadle.interface.errors import TreadleError
from treadle.watch.arrivals import Arrivals
from treadle.watch.completions import Completions
from treadle_spool import Descriptor, Spool, Status, UnknownJob, check_name, new_id
from treadle_spool.folder import RESULT
from treadle_spool.identity import is_spool
from treadle_spool.outputs import all_interim
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, read_regular

_FOREVER = 10 * 365 * 86400.0
"""Seconds; in effect no timeout."""
_RESCAN = 30.0
"""Seconds between two listings of queue/, for ends without an event."""
_POLL_INTERVAL = 0.01
"""Seconds between two polls for the job of a dropped file."""
_INTAKE_TIMEOUT = 10.0
"""Seconds that a running engine has to accept or refuse a dropped file."""


class SpoolBackend:
    """The jobs of one spool folder."""

    def __init__(self, root: Path, service: str | None) -> None:
        if not is_spool(root):
            raise TreadleError(f"{root} is not a spool; `treadle serve --spool {root}` makes one")
        self._spool = Spool.open(root)
        self._service = service

    def submit(self, request: Request) -> str:
        """Drop the job's file and return the job's name.

        Waits until a running engine has accepted it; raises TreadleError if it is refused.
        """
        if self._service is None:
            raise TreadleError("--service is needed with --spool: a job's file names its service")
        name = new_id() if request.name is None else check_name(request.name)
        job = Descriptor(service=self._service, data=request.data, params=request.params, **request.options())
        draft = self._spool.drop / f".{name}.tmp"
        draft.write_bytes(job.to_json())
        draft.rename(self._spool.drop / f"{name}.json")
        if self._spool.lock().holder() is None:
            click.echo("no engine is running: the job is taken when one starts", err=True)
        else:
            self._await_intake(name)
        return name

    def status(self, job: str) -> dict[str, Any]:
        """Return the job as a JSON object like the API's, with its service."""
        return _show(self._spool.look_up(job))

    def wait(self, job: str, timeout: float | None) -> dict[str, Any]:
        """Return the job when it has ended, or as it is after `timeout` seconds."""

        async def wait() -> Status:
            arrivals = Arrivals(_RESCAN)
            completions = Completions(self._spool)
            completions.attach(arrivals)
            async with arrivals:
                return await completions.status(job, _FOREVER if timeout is None else timeout)

        return _show(asyncio.run(wait()))

    def result(self, job: str) -> bytes:
        """Return the result's JSON."""
        status = self._spool.look_up(job)
        try:
            return read_regular(self._spool.done / job / RESULT, LARGEST_DESCRIPTOR)
        except FileNotFoundError:
            raise TreadleError(f"job {job} has no result: it is {status.status}") from None

    def interim(self, job: str, last: bool) -> bytes:
        """Return the JSON of all interim results, or of the newest one."""
        self._spool.look_up(job)
        values = all_interim(self._spool, job)
        if not last:
            return b"[" + b",".join(values) + b"]"
        if not values:
            raise TreadleError(f"job {job} has no interim result so far")
        return values[-1]

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel the job and return it."""
        status = self._spool.ask_to_cancel(job)
        if not status.status.ended and self._spool.lock().holder() is None:
            click.echo("no engine is running: the job is cancelled when one starts", err=True)
            return _show(status)
        return self.wait(job, 2.0)

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, oldest first."""
        names = {
            name
            for place in (self._spool.queue, self._spool.run, self._spool.done)
            for name in self._spool.names(place)
        }
        jobs = []
        for name in names:
            with suppress(UnknownJob):
                jobs.append(_show(self._spool.look_up(name)))
        return sorted(jobs, key=lambda job: (job["createdAt"], job["id"]))

    def _await_intake(self, name: str) -> None:
        """Wait until the engine has accepted the job; raise TreadleError if it refuses it."""
        reason = self._spool.quarantine.reason_of(f"{name}.json")
        end = time.monotonic() + _INTAKE_TIMEOUT
        while time.monotonic() < end:
            with suppress(UnknownJob):
                self._spool.look_up(name)
                return
            with suppress(FileNotFoundError):
                raise TreadleError(f"the job was refused: {json.loads(reason.read_bytes())['detail']}")
            time.sleep(_POLL_INTERVAL)
        click.echo("the engine has not taken the job yet", err=True)


def _show(status: Status) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(status.to_json())
    shown: dict[str, Any] = {"id": status.id, "status": status.status.value, "service": status.service}
    for name, field in (("createdAt", "created"), ("startedAt", "started"), ("endedAt", "ended")):
        shown[name] = fields.get(field)
    return shown
