"""The options of `submit` for a job's options, made from the fields of treadle_spool.JobOptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from treadle.cli.options import click_type
from treadle.support.expected import description, kind_of, members
from treadle_spool import JobOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def job_options(command: Command) -> Command:
    """Add an option to a command for each option of a job, with its bounds and its description.

    A list of texts, or texts by name, becomes an option that may be repeated: `labels` is `--label K=V`.
    The command gets the value that JobOptions takes.
    """
    for field in reversed(msgspec.structs.fields(JobOptions)):
        command = _option(field)(command)
    return command


def _option(field: msgspec.structs.FieldInfo) -> Callable[[Command], Command]:
    name, text = field.name, description(field.type)
    flag = f"--{name.replace('_', '-')}"
    one_of_several, repeated = flag.removesuffix("s"), f"{text}  [may be repeated]"
    kind = kind_of(next(members(field.type))[0])
    if kind is dict:
        return click.option(
            one_of_several,
            name,
            multiple=True,
            metavar="KEY=VALUE",
            callback=_read_pairs,
            help=repeated,
        )
    if kind is list:
        return click.option(one_of_several, name, multiple=True, help=repeated)
    if kind is bool:
        return click.option(flag, name, is_flag=True, help=text)
    shown = text if field.default is None else f"{text}  [default: {field.default}]"
    return click.option(flag, name, type=click_type(field.type), default=field.default, help=shown)


def _read_pairs(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return texts by name, each given as key=value; raise a usage error for anything else."""
    for pair in given:
        if pair.find("=") < 1:
            raise click.BadParameter(f"{pair!r} is not key=value", param_hint=option.opts[0])
    return dict(pair.split("=", 1) for pair in given)
