"""What a type expects of a value: whether the value fits, and in plain words what was expected.

msgspec decides what fits. Its messages are for programmers, so this module says the same in words.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
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
}
_PLURALS: Mapping[Any, str] = {str: "strings", int: "whole numbers", float: "numbers", Path: "paths"}
_READ_FROM: Mapping[Any, type] = {
    Mapping: dict,
    Sequence: list,
    tuple: list,
    set: list,
    frozenset: list,
    Path: str,
}
"""The types that are read from another type of TOML and JSON."""
_MERGED = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "title", "extra")


def fits(value: object, type_: Any, *, strict: bool = True) -> bool:
    """Return whether the value is one of the type; not strict: a number may be text."""
    try:
        msgspec.convert(value, type_, strict=strict, dec_hook=decode)
    except msgspec.ValidationError:
        return False
    return True


def decode(type_: type, value: object) -> object:
    """Return a path with `~` expanded; the `dec_hook` of msgspec for all types that it does not know."""
    if issubclass(type_, Path) and isinstance(value, str | os.PathLike):
        return Path(value).expanduser()
    raise TypeError(type_.__name__)


def in_words(type_: Any, value: object = msgspec.UNSET, *, strict: bool = True) -> str:
    """Return what a value should have been: within its bounds if its kind is right, else of another kind."""
    words = []
    for base, meta in members(type_):
        if meta.title:
            return meta.title
        if fits(value, base, strict=strict) and (limits := _limits(meta)):
            return limits
        words.append(_name(base))
    return " or ".join(dict.fromkeys(words))


def kinds(type_: Any) -> frozenset[str]:
    """Return in words which kinds of values a type takes: equal for types that differ in bounds only."""
    bases = {_kind(base) for base, _ in members(type_)}
    return frozenset(_WORDS.get(base, str(base)) for base in bases - ({int} if float in bases else set()))


def description(type_: Any) -> str:
    """Return the description of an annotated type; empty if it has none."""
    return next((meta.description for meta in _metas(type_) if meta.description), "")


def members(type_: Any) -> Iterator[tuple[Any, msgspec.Meta]]:
    """Yield each alternative of a type but None, with its bounds. `title` in them replaces the words."""
    metas = list(_metas(type_))
    while typing.get_origin(type_) is Annotated:
        type_ = type_.__origin__
    if typing.get_origin(type_) in {Union, types.UnionType}:
        for member in typing.get_args(type_):
            yield from members(Annotated[(member, *reversed(metas))] if metas else member)
    elif type_ not in {type(None), msgspec.UnsetType}:
        found = [(name, getattr(meta, name)) for meta in reversed(metas) for name in _MERGED]
        yield type_, msgspec.Meta(**{name: value for name, value in found if value is not None})


def innermost(path: str, value: object, type_: Any) -> tuple[str, object, Any]:
    """Return the path, the value and the type of the first wrong value inside a wrong value."""
    for base, _ in members(type_):
        for step, inner, inner_type in _inner(value, base):
            if not fits(inner, inner_type):
                return innermost(path + step, inner, inner_type)
    return path, value, type_


def keys_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the keys that a struct is read from, with the types that they are annotated with."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def _inner(value: object, base: Any) -> Iterator[tuple[str, object, Any]]:
    kind, arguments = _kind(base), typing.get_args(base)
    if isinstance(value, Mapping) and kind is dict:
        if isinstance(base, type) and issubclass(base, msgspec.Struct):
            known = keys_of(base)
            yield from ((f".{key}", each, known[key]) for key, each in value.items() if key in known)
        elif arguments:
            yield from ((f".{key}", each, arguments[1]) for key, each in value.items())
    elif isinstance(value, list | tuple) and kind is list and arguments:
        yield from ((f"[{index}]", each, arguments[0]) for index, each in enumerate(value))


def _metas(type_: Any) -> Iterator[msgspec.Meta]:
    if typing.get_origin(type_) is Annotated:
        yield from (each for each in reversed(type_.__metadata__) if isinstance(each, msgspec.Meta))
        yield from _metas(type_.__origin__)


def _kind(base: Any) -> Any:
    """Return the type of TOML and JSON that a type is read from."""
    origin = typing.get_origin(base) or base
    if origin is Literal:
        return type(typing.get_args(base)[0])
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return dict
    return _READ_FROM.get(origin, origin)


def _name(base: Any) -> str:
    if typing.get_origin(base) is Literal:
        *others, last = map(repr, typing.get_args(base))
        return f"{', '.join(others)} or {last}" if others else last
    kind, arguments = _kind(base), typing.get_args(base)
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
