"""The faults in a value that people wrote, each with the keys and indices that lead to it."""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from treadle.support.expected import decode, fits, keys_of, kind_of, members

Steps = tuple[str | int, ...]
"""The keys of tables and the indices of lists that lead to a value."""


class Problem(enum.Enum):
    """What is wrong."""

    WRONG = "a value that does not fit its type"
    UNKNOWN = "a key that its struct does not have"
    MISSING = "a key that its struct requires"
    REFUSED = "a table that its struct refuses as a whole, in __post_init__"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in a value."""

    problem: Problem
    steps: Steps
    type_: Any = None
    """The type that was expected of the value there."""
    value: object = None
    known: Iterable[str] = ()
    """The keys that the struct has."""
    detail: str = ""
    """Why the struct refuses the table."""

    @property
    def path(self) -> str:
        """The steps in words, such as `a.b[0].c`."""
        words = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps)
        return words.removeprefix(".")

    @property
    def keys(self) -> tuple[str, ...]:
        """The steps to the innermost table, or key of a table, that has a line in a TOML file."""
        steps = self.steps[:-1] if self.problem is Problem.MISSING else self.steps
        end = next((index for index, step in enumerate(steps) if isinstance(step, int)), None)
        return tuple(str(step) for step in steps[:end])


def first_fault(
    value: object, type_: Any, steps: Steps = (), *, strict: bool = True, closed: bool = True
) -> Fault | None:
    """Return the first fault in a value, or None.

    Not strict: a number may be text. Not closed: keys that a struct does not have are no faults.
    """
    return next(_faults(value, type_, steps, strict=strict, closed=closed), None)


def _faults(value: object, type_: Any, steps: Steps, **how: bool) -> Iterator[Fault]:
    inside = [fault for base, _ in members(type_) for fault in _inside(value, base, steps, **how)]
    if not fits(value, type_, strict=how["strict"]):
        yield from inside or [Fault(Problem.WRONG, steps, type_, value)]
    else:
        yield from (fault for fault in inside if fault.problem is Problem.UNKNOWN)


def _inside(value: object, base: Any, steps: Steps, **how: bool) -> Iterator[Fault]:
    """Yield the faults inside a table or a list, if the type is one of tables or lists."""
    kind, arguments = kind_of(base), typing.get_args(base)
    if isinstance(value, Mapping) and kind is dict:
        if _is_struct(base):
            yield from _inside_struct(value, base, steps, **how)
        elif arguments:
            for key, each in value.items():
                yield from _faults(each, arguments[-1], (*steps, key), **how)
    elif isinstance(value, list | tuple) and kind is list and arguments:
        is_uniform = typing.get_origin(base) is not tuple or arguments[-1] is ...
        types = [arguments[0]] * len(value) if is_uniform else arguments
        for index, (each, type_) in enumerate(zip(value, types, strict=False)):
            yield from _faults(each, type_, (*steps, index), **how)


def _inside_struct(value: Mapping[str, Any], base: Any, steps: Steps, **how: bool) -> Iterator[Fault]:
    known, config = keys_of(base), _origin(base).__struct_config__
    if config.tag_field is not None and value.get(config.tag_field, config.tag) != config.tag:
        return  # it is a table of another struct of the union
    has_faults = False
    for key, each in value.items():
        faults: Iterable[Fault] = ()
        if key in known:
            faults = _faults(each, known[key], (*steps, key), **how)
        elif key != config.tag_field and (how["closed"] or config.forbid_unknown_fields):
            faults = [Fault(Problem.UNKNOWN, (*steps, key), known=known)]
        for fault in faults:
            has_faults = True
            yield fault
    for field in msgspec.structs.fields(base):
        if field.required and (key := field.encode_name) not in value:
            has_faults = True
            yield Fault(Problem.MISSING, (*steps, key), known[key])
    if not has_faults and (detail := _refusal(value, base, strict=how["strict"])):
        yield Fault(Problem.REFUSED, steps, base, value, detail=detail)


def _refusal(value: object, base: Any, *, strict: bool) -> str:
    """Return why a struct's own __post_init__ refuses a table; empty if it takes it."""
    try:
        msgspec.convert(value, base, strict=strict, dec_hook=decode)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _origin(base: Any) -> Any:
    return typing.get_origin(base) or base


def _is_struct(base: Any) -> bool:
    return isinstance(_origin(base), type) and issubclass(_origin(base), msgspec.Struct)
