"""What every backend of the command line offers: the jobs of a server, or of a spool."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What `submit` asks for."""

    data: msgspec.Raw
    params: msgspec.Raw
    priority: int
    timeout: float | None
    labels: dict[str, str]
    name: str | None


class Backend(Protocol):
    """The jobs of one spool or one server; what goes wrong is a TreadleError or SpoolError."""

    def submit(self, request: Request) -> str:
        """Submit a job and return its id."""

    def status(self, job: str) -> dict[str, Any]:
        """Return the job as the API shows it."""

    def wait(self, job: str, timeout: float | None) -> dict[str, Any]:
        """Return the job once it has ended, or as it is after `timeout` seconds."""

    def result(self, job: str) -> bytes:
        """Return the result's JSON."""

    def interim(self, job: str, last: bool) -> bytes:
        """Return the interim results' JSON, or that of the newest."""

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel the job and return it."""

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs."""
