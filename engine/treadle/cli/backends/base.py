"""The interface of a backend of the command line: the jobs of a server, or of a spool."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from treadle_spool import JobOptions


class Request(JobOptions, frozen=True, kw_only=True):
    """The job that `submit` asks for, with its options."""

    data: msgspec.Raw
    params: msgspec.Raw
    name: str | None


class Backend(Protocol):
    """The jobs of one spool or one server, for the lifetime of a command.

    A job is named by its id, or by a beginning that no other id has. Every method may block, and raises
    TreadleError or SpoolError for an error that a user can mend.
    """

    def submit(self, request: Request, *, patient: bool) -> str:
        """Submit a job and return its id; a patient caller also waits for an engine that takes it."""

    def status(self, job: str) -> dict[str, Any]:
        """Return the job as the API's JSON object."""

    def wait(self, job: str, timeout: float | None) -> dict[str, Any]:
        """Return the job when it has ended, or as it is after `timeout` seconds; None: no limit."""

    def result(self, job: str) -> bytes:
        """Return the result's JSON."""

    def interim(self, job: str, last: bool) -> bytes:
        """Return the JSON of all interim results, or of the newest one."""

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel the job and return it."""

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, oldest first."""
