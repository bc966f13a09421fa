"""The choice of a command's backend, by --url, --spool and --service."""

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
    """Add --url, --spool and --service to a command, and pass it their backend as first argument."""

    @click.option("--url", envvar="TREADLE_URL", help="The server's URL.  [default: http://127.0.0.1:8081]")
    @click.option(
        "--spool", type=ANY_PATH, envvar="TREADLE_SPOOL", help="The spool's folder, in place of a server."
    )
    @click.option("--service", envvar="TREADLE_SERVICE", help="The service's name, if there are several.")
    @wraps(command)
    def wrapped(url: str | None, spool: Path | None, service: str | None, **rest: Any) -> Any:
        return command(choose(url, spool, service), **rest)

    return wrapped  # type: ignore[return-value]  # the command, with its first argument filled in


def choose(url: str | None, spool: Path | None, service: str | None) -> Backend:
    """Return the backend that the options name; --url wins over --spool."""
    if url is None and spool is not None:
        from treadle.cli.backends.spool import SpoolBackend  # noqa: PLC0415  # only the chosen backend is imported

        return SpoolBackend(spool, service)
    from treadle.cli.backends.http import HttpBackend  # noqa: PLC0415  # likewise

    return HttpBackend(url or "http://127.0.0.1:8081", service)
