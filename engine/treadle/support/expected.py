"""What a type expects of a value: whether the value fits, and in plain words what was expected.

msgspec decides what fits. Its messages are for programmers, so this module says the same in words.
"""

from __future__ import annotations

import datetime
import numbers
import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import msgspec

_WORDS: Mapping[Any, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
    Path: "a path",
    Any: "anything",
    datetime.datetime: "a date and time",
    datetime.date: "a date",
    datetime.time: "a time",
}
_PLURALS: Mapping[Any, str] = {str: "strings", int: "whole numbers", float: "numbers", Path: "paths"}
_READ_FROM: Mapping[Any, type] = {
    Mapping: dict,
    Sequence: list,
    tuple: list,
    set: list,
    frozenset: list,
    Path: str,
    object: Any,
    numbers.Number: float,
    numbers.Complex: float,
    numbers.Real: float,
    numbers.Rational: float,
    numbers.Integral: int,
}
"""The types that are read from another type of TOML and JSON."""
_MERGED = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "title", "extra")


@dataclass(frozen=True, slots=True)
class InstanceOf:
    """The types that a mapping of keys declares for a key: a value fits if it is an instance of one of them.

    A bool is no number unless bool is listed. A whole number is a float too, and a string a path.
    """

    types: tuple[type, ...]

    def takes(self, value: object) -> bool:
        """Return whether the value fits."""
        if isinstance(value, bool):
            return bool in self.types or object in self.types
        if isinstance(value, self.types):
            return True
        return (float in self.types and isinstance(value, int)) or (
            Path in self.types and isinstance(value, str)
        )


def fits(value: object, type_: Any, *, strict: bool = True) -> bool:
    """Return whether the value is one of the type; not strict: a number may be text."""
    if isinstance(type_, InstanceOf):
        return type_.takes(value)
    try:
        msgspec.convert(value, type_, strict=strict, dec_hook=decode)
    except msgspec.ValidationError:
        return False
    return True


def decode(type_: type, value: object, *, folder: Path | None = None) -> object:
    """Return a path with `~` expanded, below the folder if it is relative; any value for `object`.

    It is the `dec_hook` of msgspec, which calls it for the types that msgspec does not know.
    """
    if type_ is object:
        return value
    if issubclass(type_, Path) and isinstance(value, str | os.PathLike):
        if expected := path_expected(value):
            raise ValueError(expected)
        path = Path(value).expanduser()
        return path if folder is None else folder / path
    raise TypeError(type_.__name__)


def decoder(folder: Path | None) -> typing.Callable[[type, Any], Any]:
    """Return a `dec_hook` that puts relative paths below the folder."""
    return partial(decode, folder=folder)


def path_expected(value: str | os.PathLike[str]) -> str:
    """Return in words what a text must be to be a path; empty if it is one."""
    text = os.fspath(value)
    if not text.strip():
        return "a non-empty path"
    if "\0" in text:
        return "a path without NUL characters"
    try:
        Path(text).expanduser()
    except RuntimeError:
        return "a path below the home of a known user"
    return ""


def in_words(type_: Any, value: object = msgspec.UNSET, *, strict: bool = True) -> str:
    """Return what a value should have been: within its bounds if its kind is right, else of another kind."""
    words = []
    for base, meta in members(type_):
        if meta.title:
            return meta.title
        if (limits := _limits(meta)) and fits(value, base, strict=strict):
            return limits
        is_path = base is Path and isinstance(value, str)
        words.append((path_expected(str(value)) if is_path else "") or _name(base))
    return " or ".join(dict.fromkeys(words))


def kinds(type_: Any) -> frozenset[str]:
    """Return in words which kinds of values a type takes: equal for types that differ in bounds only."""
    bases = {kind_of(base) for base, _ in members(type_)}
    return frozenset(_WORDS.get(base, str(base)) for base in bases - ({int} if float in bases else set()))


def have_common_kind(one: Any, other: Any) -> bool:
    """Return whether two types take values of a kind in common, such as any two types of numbers."""
    first, second = kinds(one), kinds(other)
    numeric = {_WORDS[int], _WORDS[float]}
    are_numbers = bool(first & numeric and second & numeric)
    return are_numbers or bool(first & second) or _WORDS[Any] in first | second


def unreadable(type_: Any) -> type | None:
    """Return a type in the type, at any depth, whose values can't be read from TOML and JSON; None if none.

    Raises TypeError for a type that msgspec refuses.
    """
    seen: set[int] = set()
    waiting: list[Any] = [msgspec.inspect.type_info(type_)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.CustomType):
            if info.cls is not object and not issubclass(info.cls, Path):
                return info.cls
        elif isinstance(info, tuple):
            waiting.extend(info)
        elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field) and id(info) not in seen:
            seen.add(id(info))
            waiting.extend(getattr(info, name) for name in info.__struct_fields__)
    return None


def description(type_: Any) -> str:
    """Return the description of an annotated type; empty if it has none."""
    return next((meta.description for meta in _metas(type_) if meta.description), "")


def members(type_: Any) -> Iterator[tuple[Any, msgspec.Meta]]:
    """Yield each alternative of a type but None, with its bounds. `title` in them replaces the words."""
    if isinstance(type_, InstanceOf):
        yield from ((each, msgspec.Meta()) for each in type_.types if each is not type(None))
        return
    metas = list(_metas(type_))
    while typing.get_origin(type_) is Annotated:
        type_ = type_.__origin__
    if typing.get_origin(type_) in {Union, types.UnionType}:
        for member in typing.get_args(type_):
            yield from members(Annotated[(member, *reversed(metas))] if metas else member)
    elif type_ not in {type(None), msgspec.UnsetType}:
        found = [(name, getattr(meta, name)) for meta in reversed(metas) for name in _MERGED]
        yield type_, msgspec.Meta(**{name: value for name, value in found if value is not None})


def keys_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the keys that a struct is read from, with the types that they are annotated with."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def kind_of(base: Any) -> Any:
    """Return the type of TOML and JSON that a type is read from."""
    origin = typing.get_origin(base) or base
    if origin is Literal:
        return type(typing.get_args(base)[0])
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return dict
    return _READ_FROM.get(origin, origin)


def _metas(type_: Any) -> Iterator[msgspec.Meta]:
    if typing.get_origin(type_) is Annotated:
        yield from (each for each in reversed(type_.__metadata__) if isinstance(each, msgspec.Meta))
        yield from _metas(type_.__origin__)


def _name(base: Any) -> str:
    if typing.get_origin(base) is Literal:
        *others, last = map(repr, typing.get_args(base))
        return f"{', '.join(others)} or {last}" if others else last
    kind, arguments = kind_of(base), typing.get_args(base)
    if kind is list and arguments and arguments[0] in _PLURALS:
        return f"a list of {_PLURALS[arguments[0]]}"
    return _WORDS.get(base) or _WORDS.get(kind) or str(getattr(kind, "__name__", kind))


def _limits(meta: msgspec.Meta) -> str:
    """Return the bounds of a number or a text in words; empty if it has none."""
    if meta.ge is not None and meta.le is not None:
        return f"between {meta.ge} and {meta.le}"
    limits = (
        ("greater than", meta.gt),
        ("at least", meta.ge),
        ("less than", meta.lt),
        ("at most", meta.le),
        ("a multiple of", meta.multiple_of),
        ("of a length of at least", meta.min_length),
        ("of a length of at most", meta.max_length),
        ("text that matches", meta.pattern),
    )
    return " and ".join(f"{words} {limit}" for words, limit in limits if limit is not None)
