"""Where a command finds its jobs: over HTTP, or straight on the spool."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
import msgspec

from treadle.cli.options import ANY_PATH

Command = TypeVar("Command", bound=Callable[..., Any])


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


def with_backend(command: Command) -> Command:
    """Give a command its backend as first argument, by --url, --spool and --service."""

    @click.option("--url", envvar="TREADLE_URL", help="The server.  [default: http://127.0.0.1:8081]")
    @click.option(
        "--spool", type=ANY_PATH, envvar="TREADLE_SPOOL", help="The spool's folder: no server is needed."
    )
    @click.option("--service", envvar="TREADLE_SERVICE", help="The service's name, where there are several.")
    @wraps(command)
    def wrapped(url: str | None, spool: Path | None, service: str | None, **rest: Any) -> Any:
        return command(choose(url, spool, service), **rest)

    return wrapped  # type: ignore[return-value]  # the command, with its first argument filled in


def choose(url: str | None, spool: Path | None, service: str | None) -> Backend:
    """Return the backend that the options name; --url counts before --spool."""
    if url is None and spool is not None:
        from treadle.cli.spool_backend import SpoolBackend  # noqa: PLC0415  # the other one is not needed then

        return SpoolBackend(spool, service)
    from treadle.cli.http_backend import HttpBackend  # noqa: PLC0415  # likewise

    return HttpBackend(url or "http://127.0.0.1:8081", service)
