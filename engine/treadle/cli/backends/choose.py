"""Where a command finds its jobs: over HTTP, or straight on the spool."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from treadle.cli.backends.base import Backend
from treadle.cli.options import ANY_PATH

Command = TypeVar("Command", bound=Callable[..., Any])


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
        from treadle.cli.backends.spool import SpoolBackend  # noqa: PLC0415  # the other one is not needed then

        return SpoolBackend(spool, service)
    from treadle.cli.backends.http import HttpBackend  # noqa: PLC0415  # likewise

    return HttpBackend(url or "http://127.0.0.1:8081", service)
