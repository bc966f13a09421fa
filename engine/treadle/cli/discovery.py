"""Where client commands find the engine: its server and its spool, by the same settings as `treadle serve`.

What a command is given by a flag or a TREADLE_ variable wins. Otherwise engine.toml counts, then the
defaults; for the server's address also TREADLE_HOST and TREADLE_PORT. The settings are read only if they are
needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from treadle.cli.options import ANY_PATH, SettingOption, config_option
from treadle.cli.spools import open_spool
from treadle.interface.errors import TreadleError
from treadle.interface.settings import Settings, make_settings, read_config, read_environment
from treadle.interface.user_folders import config_file
from treadle.support.addresses import url_of
from treadle_spool.identity import is_spool

Command = TypeVar("Command", bound=Callable[..., Any])

_NEEDED = ("host", "port", "spool")


def with_spool(command: Command) -> Command:
    """Add --spool and --config to a command, and pass it the spool as first argument."""

    @click.option(
        "--spool",
        cls=SettingOption,
        type=ANY_PATH,
        envvar="TREADLE_SPOOL",
        help="The spool's folder.  [default: that of the settings of `treadle serve`]",
    )
    @exposed_config
    @wraps(command)
    def wrapped(spool: Path | None, config: Path | None, **rest: Any) -> Any:
        return command(open_spool(spool_folder(config) if spool is None else spool), **rest)

    return wrapped  # type: ignore[return-value]  # the command, with its first argument filled in


def exposed_config(command: Command) -> Command:
    """Add --config to a command, which gets its path."""
    return config_option(command, expose=True)


def server_url(config: Path | None) -> str:
    """Return the URL of the server that `treadle serve` starts with the settings of this host."""
    settings = _settings(config, "host", "port")
    if settings.port == 0:
        raise TreadleError(
            "the server's port is chosen when it starts (port = 0): name the server with --url"
        )
    return url_of(settings.host, settings.port)


def spool_folder(config: Path | None) -> Path:
    """Return the spool's folder by the settings of this host; raise TreadleError if there is none yet."""
    settings = _settings(config)
    try:
        found = is_spool(settings.spool)
    except OSError:
        found = True  # who opens it says what is wrong
    if not found:
        raise TreadleError(
            f"there is no spool at {settings.spool} ({_origin(settings)}): name the folder with --spool or "
            "TREADLE_SPOOL"
        )
    return settings.spool


def _origin(settings: Settings) -> str:
    """Return in words which file says where the spool is."""
    if settings.file is None:
        return "the default: there is no engine.toml"
    if "spool" in settings.file.values:
        return f"`spool` in {settings.file.path}"
    return f"the default: {settings.file.path} sets no `spool`"


def _settings(config: Path | None, *variables: str) -> Settings:
    """Return the settings that a client needs: the folders that the engine reads may be gone."""
    if (file := read_config(config or config_file())) is not None:
        file = replace(file, values={key: file.values[key] for key in _NEEDED if key in file.values})
    return make_settings(file, read_environment(variables, os.environ), needs_spool=not variables)
