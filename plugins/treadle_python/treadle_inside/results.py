"""The result of a program as JSON, by the rules of the contract, section 4."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterator
    from typing import Any

_MAX_DEPTH = 900
"""Levels of a result in which the cause of an error is looked for."""


class NotSerialisable(Exception):
    """A value has no JSON form; the message names the value and its path."""


def is_error(value: Any) -> bool:
    """Return whether the program returned an object of a class named ErrorResponse."""
    return any(kind.__name__ == "ErrorResponse" for kind in type(value).__mro__)


def failure(code: str, detail: str) -> bytes:
    """Return the body of a failure."""
    return json.dumps({"code": code, "detail": detail}).encode("ascii")


def to_json(value: Any) -> bytes:
    """Return the value as UTF-8 JSON; raise NotSerialisable with the path of the first part that has none.

    An object is serialised by its to_json() where it has one, else by pydantic's dump, else by
    tolist() (numpy), else by its fields. A string from to_json() is JSON already: it is checked, and at the
    top level it is kept unchanged.
    """
    with integers_of_any_size():
        method = getattr(value, "to_json", None)
        if callable(method) and not isinstance(value, type):
            value = method()
            if isinstance(value, str):
                _parse(value, "$")
                return _encode(value)
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_default)
        except NotSerialisable:
            _explain(value, "$", ())
            raise
        except (TypeError, ValueError, RecursionError) as error:
            _explain(value, "$", ())
            raise NotSerialisable(f"the result can't be written as JSON: {error}") from None
        return _encode(text)


@contextlib.contextmanager
def integers_of_any_size() -> Iterator[None]:
    """Lift the interpreter's limit on the digits of an integer, and restore it at the end."""
    if not hasattr(sys, "set_int_max_str_digits"):
        yield
        return
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(limit)


def _default(value: Any) -> Any:
    """Return a simpler value for an object that json does not know; json calls it again if necessary."""
    if isinstance(value, enum.Enum):
        return value.value
    if not isinstance(value, type):
        for name, arguments in (
            ("to_json", {}),
            ("model_dump", {"mode": "json"}),
            ("dict", {}),
            ("tolist", {}),
        ):
            method = getattr(value, name, None)
            if callable(method):
                simpler = method(**arguments)
                return _parse(simpler, "$") if name == "to_json" and isinstance(simpler, str) else simpler
        if hasattr(value, "__dict__"):
            return value.__dict__
        if hasattr(value, "__dataclass_fields__"):
            return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise NotSerialisable(f"{type(value).__name__} is not something JSON has")


def _parse(text: str, path: str) -> Any:
    def refuse(constant: str) -> None:
        raise NotSerialisable(f"{constant} is not JSON; it stands in what to_json() returned at {path}")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise NotSerialisable(f"to_json() at {path} returned something that is not JSON: {error}") from None


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotSerialisable(
            f"the result has half a surrogate pair, which UTF-8 can't hold: {error}"
        ) from None


def _explain(value: Any, path: str, ancestors: tuple[int, ...]) -> None:
    """Raise NotSerialisable for the first part of value that has no JSON form.

    ancestors are the ids of the objects that contain value.
    """
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise NotSerialisable(f"{name} at {path} is not JSON")
    if value is None or isinstance(value, (str, int, float)):
        return
    if id(value) in ancestors:
        raise NotSerialisable(f"{path} refers to something that it is part of")
    if len(ancestors) > _MAX_DEPTH:
        raise NotSerialisable("the result is nested too deeply")
    ancestors = (*ancestors, id(value))
    if isinstance(value, dict):
        for key, each in value.items():
            if not (key is None or isinstance(key, (str, int, float))):
                raise NotSerialisable(f"{path} has a key that is not a string: {key!r}")
            _explain(each, f"{path}.{key}", ancestors)
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            _explain(each, f"{path}[{index}]", ancestors)
    else:
        try:
            simpler = _default(value)
        except NotSerialisable as error:
            raise NotSerialisable(f"{path}: {error}") from None
        _explain(simpler, path, ancestors)
