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
    ("spool", ANY_PATH, "The spool's folder; made where there is none."),
    ("services", FOLDER, "Serve every project in this folder."),
    ("host", str, "The address to listen on."),
    ("port", click.IntRange(0, 65535), "The port to listen on; 0 takes a free one."),
    ("jobs", click.IntRange(1), "How many jobs run at a time."),
    ("plugins_dir", FOLDER, "A folder of plugins that are single files."),
    ("data_pools", FOLDER, "The folder in which `dataRef` finds <dataPoolId>/<fileId>."),
    ("attempts", click.IntRange(1), "How often a job is started at the most."),
    ("grace", click.FloatRange(0), "Seconds between asking a program to end and making it."),
    ("max_body", click.IntRange(1), "The largest job, in bytes."),
    ("max_result", click.IntRange(1), "The largest result, in bytes."),
    ("queue_limit", click.IntRange(1), "How many jobs may be owed before 429 is answered."),
    ("disk_reserve", click.IntRange(0), "Bytes that must be free before a job is accepted; below it 507."),
    ("keep_days", click.FloatRange(0), "Days that ended jobs and refused files are kept."),
    ("keep_jobs", click.IntRange(0), "How many ended jobs of each service are kept."),
    ("keep_bytes", click.IntRange(0), "How many bytes of each service's ended jobs are kept."),
    ("tidy", click.FloatRange(0, min_open=True), "Seconds between two rounds of removing leftovers."),
    ("rescan", click.FloatRange(0, min_open=True), "Seconds between two looks for what the watcher missed."),
)


def engine_options(*names: str) -> Callable[[Command], Command]:
    """Add the options of the engine's settings (all of them, or the named ones), and --config."""

    def decorate(command: Command) -> Command:
        for name, kind, text in reversed(_ENGINE):
            if not names or name in names:
                command = _option(name, kind, text)(command)
        command = click.option(
            "--prefer",
            multiple=True,
            envvar="TREADLE_PREFER",
            help="A runtime to be tried first where a service leaves the choice, such as podman.",
        )(command)
        command = click.option(
            "--disable", multiple=True, envvar="TREADLE_DISABLE", help="Leave a plugin out, by its name."
        )(command)
        return click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="TREADLE_CONFIG",
            is_eager=True,
            expose_value=False,
            callback=_read_config,
            help="The engine.toml; by default the user's, else the host's.",
        )(command)

    return decorate


def settings_of(**given: Any) -> Settings:
    """Return the settings that a command's options amount to; what was not given has its default."""
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
    """Keep the file's values: a flag or an environment variable wins over them."""
    ctx.meta["treadle.config"] = read_config(path or config_file())
