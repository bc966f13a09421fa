"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from treadle.interface.settings import Settings, config_file, read_config

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
ANY_PATH = click.Path(path_type=Path)

_ENGINE: tuple[tuple[str, Any, str], ...] = (
    ("spool", ANY_PATH, "The spool's folder; it is made if it does not exist."),
    ("services", FOLDER, "Serve every project in this folder."),
    ("host", str, "The address to listen on."),
    ("port", click.IntRange(0, 65535), "The port to listen on; 0: a free one."),
    ("jobs", click.IntRange(1), "How many jobs run at a time."),
    ("plugins_dir", FOLDER, "A folder of plugins that are single files."),
    ("data_pools", FOLDER, "The folder in which `dataRef` finds <dataPoolId>/<fileId>."),
    ("attempts", click.IntRange(1), "How often a job is started at most."),
    ("grace", click.FloatRange(0), "Seconds between asking a program to end and killing it."),
    ("max_body", click.IntRange(1), "The largest job, in bytes."),
    ("max_result", click.IntRange(1), "The largest result, in bytes."),
    ("queue_limit", click.IntRange(1), "How many jobs may wait or run; a further one gets 429."),
    ("disk_reserve", click.IntRange(0), "Bytes that must be free on the disk; with fewer, a job gets 507."),
    ("keep_days", click.FloatRange(0), "Days that ended jobs and refused files are kept."),
    ("keep_jobs", click.IntRange(0), "How many ended jobs of each service are kept."),
    ("keep_bytes", click.IntRange(0), "How many bytes of each service's ended jobs are kept."),
    ("tidy", click.FloatRange(0, min_open=True), "Seconds between two removals of orphans and expired jobs."),
    ("rescan", click.FloatRange(0, min_open=True), "Seconds between two listings of the watched folders."),
)


def engine_options(*names: str) -> Callable[[Command], Command]:
    """Return a decorator that adds options for the engine's settings (all, or those named), and --config."""

    def decorate(command: Command) -> Command:
        for name, kind, text in reversed(_ENGINE):
            if not names or name in names:
                command = _option(name, kind, text)(command)
        command = click.option(
            "--prefer",
            multiple=True,
            envvar="TREADLE_PREFER",
            help="A runtime to try first if a service leaves the choice, such as podman; may be repeated.",
        )(command)
        command = click.option(
            "--disable",
            multiple=True,
            envvar="TREADLE_DISABLE",
            help="A plugin not to load; may be repeated.",
        )(command)
        return click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="TREADLE_CONFIG",
            is_eager=True,
            expose_value=False,
            callback=_read_config,
            help="The engine.toml to read.  [default: the user's, else the host's]",
        )(command)

    return decorate


def settings_of(**given: Any) -> Settings:
    """Return the settings from a command's options, then engine.toml, then the defaults."""
    from_file: dict[str, Any] = click.get_current_context().meta.get("treadle.config", {})
    known = {each.name for each in fields(Settings)}
    values = {name: value for name, value in from_file.items() if name in known}
    values |= {name: value for name, value in given.items() if name in known and value not in (None, ())}
    for name in ("spool", "services", "plugins_dir", "data_pools"):
        if values.get(name) is not None:
            values[name] = Path(values[name]).expanduser()
    for name in ("projects", "disable", "prefer"):
        if name in values:
            values[name] = tuple(values[name])
    values["projects"] = tuple(Path(each).expanduser() for each in values.get("projects", ()))
    return Settings(**values)


def _option(name: str, kind: Any, text: str) -> Callable[[Command], Command]:
    flag = "--" + name.replace("_", "-")
    shown = getattr(Settings(), name)
    if shown is not None:
        text = f"{text}  [default: {shown}]"
    return click.option(flag, name, type=kind, envvar=f"TREADLE_{name.upper()}", help=text)


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Put the values of engine.toml into the context; a flag or an environment variable wins over them."""
    ctx.meta["treadle.config"] = read_config(path or config_file())
