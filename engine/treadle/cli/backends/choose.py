"""The choice of a command's backend, by --url, --spool, --service and the settings of this host."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from treadle.cli.backends.base import Backend
from treadle.cli.discovery import exposed_config, server_url, spool_folder
from treadle.cli.options import ANY_PATH, SettingOption

Command = TypeVar("Command", bound=Callable[..., Any])


def with_backend(command: Command) -> Command:
    """Add --url, --spool, --service and --config to a command, and pass it their backend first.

    Without --url and --spool, the backend is the server of this host's settings.
    """
    return _with(choose, command)


def with_listing_backend(command: Command) -> Command:
    """Do the same for a command that lists jobs: without --url and --spool, it is the settings' spool."""
    return _with(choose_listing, command)


def choose(url: str | None, spool: Path | None, service: str | None, config: Path | None = None) -> Backend:
    """Return the backend that the options name, else the server of the settings; --url wins over --spool."""
    if url is None and spool is not None:
        from treadle.cli.backends.spool import SpoolBackend  # noqa: PLC0415  # only the chosen backend is imported

        return SpoolBackend(spool, service)
    from treadle.cli.backends.http import HttpBackend  # noqa: PLC0415  # likewise

    return HttpBackend(server_url(config) if url is None else url, service)


def choose_listing(
    url: str | None, spool: Path | None, service: str | None, config: Path | None = None
) -> Backend:
    """Return the spool that is named; without --spool and --url, that of the settings.

    --spool wins over --url, since HTTP has no list of jobs.
    """
    if spool is None and url is None:
        spool = spool_folder(config)
    return choose(url if spool is None else None, spool, service, config)


def _check_service(ctx: click.Context, param: click.Parameter, service: str | None) -> str | None:
    """Refuse an empty name: a script's unset variable would otherwise mean any service."""
    if service is not None and not service.strip():
        raise click.BadParameter("it is empty: name a service, or leave the option out", ctx, param)
    return service


def _with(choose: Callable[..., Backend], command: Command) -> Command:
    @click.option(
        "--url",
        cls=SettingOption,
        envvar="TREADLE_URL",
        help="The server's URL.  [default: by the settings of `treadle serve`, such as "
        "http://127.0.0.1:8081]",
    )
    @click.option(
        "--spool",
        cls=SettingOption,
        type=ANY_PATH,
        envvar="TREADLE_SPOOL",
        help="The spool's folder, in place of a server.",
    )
    @click.option(
        "--service",
        cls=SettingOption,
        envvar="TREADLE_SERVICE",
        callback=_check_service,
        help="The service's name, if there are several.",
    )
    @exposed_config
    @wraps(command)
    def wrapped(
        url: str | None, spool: Path | None, service: str | None, config: Path | None, **rest: Any
    ) -> Any:
        return command(choose(url, spool, service, config), **rest)

    return wrapped  # type: ignore[return-value]  # the command, with its first argument filled in
