"""The spool backend: the jobs of a spool's folder. It needs no server, and mostly no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from treadle.cli.backends.base import Request
from treadle.cli.backends.dropping import DroppedFile
from treadle.cli.polling import Pauses, until_ended
from treadle.cli.spools import NotAccepted, find, open_spool
from treadle.interface.errors import TreadleError
from treadle_spool import (
    Descriptor,
    NameTaken,
    SpoolError,
    State,
    Status,
    UnknownJob,
    UnsafeName,
    check_name,
    new_id,
)
from treadle_spool.folder import RESULT
from treadle_spool.interim_list import InterimList
from treadle_spool.services import ServiceList
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, read_regular

_INTAKE_TIMEOUT = 10.0
"""Seconds that a running engine has to accept or refuse a dropped file."""
_CANCEL_WAIT = 2.0
"""Seconds that a cancel waits for the job's end, so that it is normally seen."""


class SpoolBackend:
    """The jobs of one spool folder; with a service, only the jobs of this service."""

    def __init__(self, root: Path, service: str | None) -> None:
        self._spool = open_spool(root)
        self._service = service

    def submit(self, request: Request, *, patient: bool) -> str:
        """Drop the job's file and return the job's name.

        Waits until a running engine has accepted it; a patient caller waits for an engine as well. Raises
        NameTaken if the name is in use, and TreadleError if the job is refused.
        """
        if self._service is None:
            raise TreadleError("--service is needed with --spool: a job's file names its service")
        name = new_id() if request.name is None else self._free_name(request.name)
        job = Descriptor(service=self._service, data=request.data, params=request.params, **request.options())
        file = DroppedFile(self._spool, name, job.to_json())
        if self._spool.lock().holder() is None:
            click.echo("no engine is running: the job is taken when one starts", err=True)
            if not patient:
                return name
        try:
            self._await_intake(file, None if patient else _INTAKE_TIMEOUT)
        except KeyboardInterrupt:
            click.echo(f"job {name} waits in drop/: it is taken when an engine looks there", err=True)
            raise
        return name

    def status(self, job: str) -> dict[str, Any]:
        """Return the job as a JSON object like the API's, with its service, and why it waits for that."""
        status = self._find(job)
        waits = None
        if status.status is State.PENDING and (listed := ServiceList.read(self._spool.root)):
            waits = listed.why_jobs_wait(status.service)
        return _show(status) | ({"detail": waits} if waits else {})

    def wait(self, job: str, timeout: float | None) -> dict[str, Any]:
        """Return the job when it has ended, or as it is after `timeout` seconds."""
        pauses = Pauses(timeout)
        while True:
            try:
                name = self._find(job).id
            except NotAccepted:
                if pauses.over():
                    raise
                pauses.take()
            else:
                return _show(until_ended(self._spool, name, pauses.left()))

    def result(self, job: str) -> bytes:
        """Return the result's JSON."""
        status = self._find(job)
        try:
            return read_regular(self._spool.done / status.id / RESULT, LARGEST_DESCRIPTOR)
        except FileNotFoundError:
            raise TreadleError(f"job {status.id} has no result: it is {status.status}") from None

    def interim(self, job: str, last: bool) -> bytes:
        """Return the JSON of all interim results, or of the newest one."""
        name = self._find(job).id
        with InterimList.open(self._spool, name) as interim:
            if not last:
                return b"".join(interim.pieces())
            if (newest := interim.last()) is None:
                raise TreadleError(f"job {name} has no interim result so far")
            return b"".join(newest[1])

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel the job and return it."""
        status = self._spool.ask_to_cancel(self._find(job).id)
        if not status.status.ended and self._spool.lock().holder() is None:
            click.echo("no engine is running: the job is cancelled when one starts", err=True)
            return _show(status)
        return _show(until_ended(self._spool, status.id, _CANCEL_WAIT))

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, oldest first; one whose files can't be read is UNKNOWN, and stderr says why."""
        places = (self._spool.queue, self._spool.run, self._spool.done)
        names = {name for place in places for name in self._spool.names(place)}
        jobs = [job for name in names if (job := self._listed(name)) is not None]
        return sorted(jobs, key=lambda job: (job["createdAt"] or "", job["id"]))

    def _listed(self, name: str) -> dict[str, Any] | None:
        """Return a job for the list; None if it is of another service, gone, or nothing that has a name."""
        try:
            status = self._spool.look_up(check_name(name))
        except (UnknownJob, UnsafeName):
            return None
        except (SpoolError, OSError) as error:
            click.echo(f"job {name} can't be read: {error}", err=True)
            unknown = {"service": None, "createdAt": None, "startedAt": None, "endedAt": None}
            return None if self._service else {"id": name, "status": State.UNKNOWN.value, **unknown}
        return _show(status) if self._service in {None, status.service} else None

    def _find(self, job: str) -> Status:
        """Return the job of this id, or beginning of an id."""
        status = find(self._spool, job)
        if self._service not in {None, status.service}:
            raise UnknownJob(f"no job named {status.id!r} of service {self._service!r}")
        return status

    def _free_name(self, name: str) -> str:
        """Return the name if no job has it; raise NameTaken or UnsafeName otherwise."""
        try:
            self._spool.look_up(name)
        except UnknownJob:
            return name
        except UnsafeName:
            raise
        except SpoolError:  # its files are damaged
            pass
        raise NameTaken(f"a job named {name!r} exists already: choose another --name")

    def _await_intake(self, file: DroppedFile, limit: float | None) -> None:
        """Wait until the engine has accepted the job; raise TreadleError if it refuses it."""
        pauses = Pauses(limit)
        while not file.accepted():
            if pauses.over():
                taken = "it is gone from drop/, and there is no job" if file.gone() else "it waits in drop/"
                click.echo(f"the engine has not accepted the job yet: {taken}", err=True)
                return
            pauses.take()


def _show(status: Status) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(status.to_json())
    shown: dict[str, Any] = {"id": status.id, "status": status.status.value, "service": status.service}
    for name, field in (("createdAt", "created"), ("startedAt", "started"), ("endedAt", "ended")):
        shown[name] = fields.get(field)
    return shown
