"""The result of a program as JSON, by the rules of the contract, section 4.

forms.py says what a value becomes that json does not know itself.

Two keys of a dict that become one in JSON are an error, since one value would be lost.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys

from . import forms
from .own_json import Encoder, NotSerialisable, parse_strictly

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterator
    from typing import Any

_MAX_DEPTH = 900
"""Levels of a result in which the cause of an error is looked for."""
_NOT_OF_A_STRING = re.compile(r'"(?:-?\d[^"\\]*|true|false|null)": ')
"""A key that may be none of a string: only with one of them two keys can become one."""
_SCALARS = frozenset({str, int, float, bool, type(None)})


def is_error(value: Any) -> bool:
    """Return whether the program returned an object of a class named ErrorResponse."""
    return any(kind.__name__ == "ErrorResponse" for kind in type(value).__mro__)


def failure(code: str, detail: str) -> bytes:
    """Return the body of a failure."""
    return bytes(Encoder().encode({"code": code, "detail": detail}), "ascii")


def to_json(value: Any) -> tuple[bytes, bool]:
    """Return the value as UTF-8 JSON, and whether it holds the text of what has no other form there.

    Raises NotSerialisable with the path of the first part that has no form. A string from to_json() is JSON
    already: it is checked, and at the top level it is kept unchanged.
    """
    with integers_of_any_size():
        if callable(getattr(type(value), "to_json", None)) and not isinstance(value, type):
            value = value.to_json()
            if isinstance(value, str):
                _check(value)
                return _encode(value), False
        writer = _Writer()
        return _encode(writer.write(value)), writer.has_text


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


def _check(text: str) -> None:
    try:
        parse_strictly(text)
    except NotSerialisable as error:
        raise NotSerialisable(f"$: {error}") from None


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotSerialisable(
            f"the result has half a surrogate pair, which UTF-8 can't hold: {error}"
        ) from None


class _Writer:
    """Writes one result."""

    def __init__(self) -> None:
        self.has_text = False
        """Whether a value had no form but its text."""

    def write(self, value: Any) -> str:
        """Return the value as JSON text; raise NotSerialisable."""
        try:
            text: str = Encoder(allow_nan=False, ensure_ascii=False, default=self._simpler).encode(value)
        except NotSerialisable:
            self._explain(value, "$", ())
            raise
        except (TypeError, ValueError, RecursionError) as error:
            self._explain(value, "$", ())
            raise NotSerialisable(f"the result can't be written as JSON: {error}") from None
        if _NOT_OF_A_STRING.search(text) and self._may_have_twins(value):
            self._explain(value, "$", ())
        return text

    def _simpler(self, value: Any) -> Any:
        simpler, is_text = forms.simpler(value)
        self.has_text = self.has_text or is_text
        return simpler

    def _may_have_twins(self, value: Any) -> bool:
        """Return whether a dict has keys of other types beside strings; quick, since few have."""
        pending = [value]
        while pending:
            each = pending.pop()
            if isinstance(each, dict):
                if any(type(key) is not str for key in each) and any(isinstance(key, str) for key in each):
                    return True
                pending += [child for child in each.values() if type(child) not in _SCALARS]
            elif isinstance(each, (list, tuple)):
                pending += [child for child in each if type(child) not in _SCALARS]
            elif type(each) not in _SCALARS and not isinstance(each, (str, int, float)):
                pending.append(self._simpler(each))
        return False

    def _explain(self, value: Any, path: str, ancestors: tuple[int, ...]) -> None:
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
            names: set[str] = set()
            for key, each in value.items():
                written = _name_of(key)
                if written is None:
                    raise NotSerialisable(f"{path} has a key that is not a string: {key!r}")
                if written in names:
                    raise NotSerialisable(f"{path} has two keys that are both {written!r} in JSON")
                names.add(written)
                self._explain(each, f"{path}.{written}", ancestors)
        elif isinstance(value, (list, tuple)):
            for index, each in enumerate(value):
                self._explain(each, f"{path}[{index}]", ancestors)
        else:
            try:
                simpler = self._simpler(value)
            except NotSerialisable as error:
                raise NotSerialisable(f"{path}: {error}") from None
            self._explain(simpler, path, ancestors)


def _name_of(key: Any) -> str | None:
    """Return a key of a dict as json writes it; None if it writes none."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int):
        return int.__repr__(key)
    return float.__repr__(key) if isinstance(key, float) and math.isfinite(key) else None
