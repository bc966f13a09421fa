"""The options of `submit` for a job's options, made from the fields of treadle_spool.JobOptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from msgspec import inspect

from treadle_spool import JobOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def job_options(command: Command) -> Command:
    """Add an option to a command for each option of a job, with its bounds and its description.

    A list of texts, or texts by name, becomes an option that may be repeated: `labels` is `--label K=V`.
    The command gets the value that JobOptions takes.
    """
    options = inspect.type_info(JobOptions)
    assert isinstance(options, inspect.StructType)
    for field in reversed(options.fields):
        command = _option(field)(command)
    return command


def _option(field: inspect.Field) -> Callable[[Command], Command]:
    kind, description = _plain(field.type)
    flag = f"--{field.name.replace('_', '-')}"
    match kind:
        case inspect.DictType():
            text = f"{description}  [may be repeated]"
            return click.option(
                flag.removesuffix("s"),
                field.name,
                multiple=True,
                metavar="KEY=VALUE",
                callback=_read_pairs,
                help=text,
            )
        case inspect.ListType() | inspect.VarTupleType():
            text = f"{description}  [may be repeated]"
            return click.option(flag.removesuffix("s"), field.name, multiple=True, help=text)
        case inspect.BoolType():
            return click.option(flag, field.name, is_flag=True, help=description)
    text = description if field.default is None else f"{description}  [default: {field.default}]"
    return click.option(flag, field.name, type=_click_type(kind), default=field.default, help=text)


def _plain(kind: inspect.Type) -> tuple[inspect.Type, str]:
    """Return a field's type, without null, and its description."""
    description = ""
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            description = description or (kind.extra_json_schema or {}).get("description", "")
            kind = kind.type
        else:
            kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind, description


def _click_type(kind: inspect.Type) -> click.ParamType[Any]:
    """Return the type of an option for one value, with its bounds."""
    match kind:
        case inspect.IntType():
            return click.IntRange(*_bounds(kind))
        case inspect.FloatType():
            least, most, *is_open = _bounds(kind)
            return click.FloatRange(least, most, *is_open)
        case inspect.StrType():
            return click.STRING
    raise TypeError(f"no option can be made for {kind}")


def _bounds(kind: inspect.IntType | inspect.FloatType) -> tuple[Any, Any, bool, bool]:
    """Return the least and the greatest value, and for each whether it is itself out of bounds."""
    least = kind.ge if kind.gt is None else kind.gt
    most = kind.le if kind.lt is None else kind.lt
    return least, most, kind.gt is not None, kind.lt is not None


def _read_pairs(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return texts by name, each given as key=value; raise a usage error for anything else."""
    for pair in given:
        if pair.find("=") < 1:
            raise click.BadParameter(f"{pair!r} is not key=value", param_hint=option.opts[0])
    return dict(pair.split("=", 1) for pair in given)
