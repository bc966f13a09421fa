"""Options that several commands share. Those for the engine's settings are made from `Settings` itself."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from treadle.interface.errors import SettingsError
from treadle.interface.settings import Settings, make_settings, read_config, setting_types
from treadle.interface.user_folders import config_file
from treadle.support.expected import description, members, path_expected
from treadle.support.toml import TomlFile

Command = TypeVar("Command", bound=Callable[..., Any])


_WITHOUT_FLAG = {"projects", "plugins"}
"""Settings that are an argument, and the sections of engine.toml."""
_ALWAYS = ("disable", "prefer")
"""Settings of the plugins, which every command that loads them takes."""
_CONFIG = "treadle.config"


class AbsolutePath(click.Path):
    """The type of a path: `~` at its start is the user's home, and the path becomes absolute."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail for one that is empty, below an unknown home, or not there if it must be."""
        if expected := path_expected(value):
            self.fail(f"It must be {expected}, not {str(value)!r}.", param, ctx)
        return super().convert(Path(value).expanduser().absolute(), param, ctx)


class FiniteRange(click.FloatRange):
    """The type of a number with bounds; `nan`, which no bound keeps out, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail for one that is out of bounds."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


FOLDER = AbsolutePath(exists=True, file_okay=False, path_type=Path)
ANY_PATH = AbsolutePath(path_type=Path)


class SettingOption(click.Option):
    """A flag that an environment variable may stand for, without the white space around its value.

    An error names the variable, if the value comes from there.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value; None if it is empty."""
        return (super().resolve_envvar_value(ctx) or "").strip() or None

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return what click puts before an error."""
        if ctx and ctx.get_parameter_source(self.name or "") is click.core.ParameterSource.ENVIRONMENT:
            return f"'{self.envvar}'"
        return super().get_error_hint(ctx)


def config_option(command: Command, *, expose: bool = False) -> Command:
    """Add --config to a command; exposed, the command gets the path, else `settings_of` reads the file."""
    return click.option(
        "--config",
        cls=SettingOption,
        type=AbsolutePath(exists=True, dir_okay=False, path_type=Path),
        envvar="TREADLE_CONFIG",
        is_eager=True,
        expose_value=expose,
        callback=None if expose else _read_config,
        help="The engine.toml to read.  [default: the user's, else the host's]",
    )(command)


def engine_options(*names: str) -> Callable[[Command], Command]:
    """Return a decorator that adds options for the engine's settings (all, or those named), and --config."""

    def decorate(command: Command) -> Command:
        for name, type_ in reversed([*setting_types().items()]):
            if name not in _WITHOUT_FLAG and (not names or name in (*names, *_ALWAYS)):
                command = _option(name, type_)(command)
        return config_option(command)

    return decorate


def settings_of(*, needs_spool: bool = True, **given: Any) -> Settings:
    """Return the settings from a command's options, then engine.toml, then the defaults."""
    config: TomlFile | None = click.get_current_context().meta.get(_CONFIG)
    return make_settings(config, given, needs_spool=needs_spool)


def _option(name: str, type_: Any) -> Callable[[Command], Command]:
    """Return the option of a setting: its type and bounds, and its description and default as help."""
    multiple = typing.get_origin(next(members(type_))[0]) is tuple
    text, default = description(type_), _default(name)
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        cls=SettingOption,
        type=str if multiple else click_type(type_),
        multiple=multiple,
        envvar=f"TREADLE_{name.upper()}",
        help=text if multiple or default is None else f"{text}  [default: {default}]",
    )


def _default(name: str) -> Any:
    """Return the default of a setting; None if it has none, or none on this host."""
    try:
        return getattr(Settings(), name)
    except SettingsError:
        return None


def click_type(type_: Any) -> click.ParamType[Any]:
    """Return the type of an option for one value: a number with its bounds, a path or a text.

    Raises TypeError for any other annotated type.
    """
    base, limits = next(members(type_))
    lowest: Any = limits.ge if limits.gt is None else limits.gt
    highest: Any = limits.le if limits.lt is None else limits.lt
    if base is Path:
        return FOLDER if (limits.extra or {}).get("exists") else ANY_PATH
    if base is int:
        return click.IntRange(
            lowest if limits.gt is None else lowest + 1, highest, max_open=limits.lt is not None
        )
    if base is float:
        return FiniteRange(lowest, highest, min_open=limits.gt is not None, max_open=limits.lt is not None)
    if base is str:
        return click.STRING
    raise TypeError(f"no option can be made for {base}")


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Put engine.toml into the context; a flag or an environment variable wins over it."""
    ctx.meta[_CONFIG] = read_config(path or config_file())
