"""What a program returns, as JSON: the rules of the contract, section 4."""

import contextlib
import enum
import json
import math
import sys


class NotSerialisable(Exception):
    """A value that JSON does not have; the message says which, and where."""


def is_error(value):
    """Say whether the program returned an object of a class named ErrorResponse."""
    return any(kind.__name__ == "ErrorResponse" for kind in type(value).__mro__)


def failure(code, detail):
    """Return the body of a failure."""
    return json.dumps({"code": code, "detail": detail}).encode("ascii")


def to_json(value):
    """Return the value as UTF-8 JSON; raise NotSerialisable with the path of what can't be.

    An object is serialised by its to_json() where it has one, else by pydantic's dump, else by
    tolist() (numpy), else by its fields. What to_json() returns as a string is JSON already, and is
    carried as it is.
    """
    with integers_of_any_size():
        method = getattr(value, "to_json", None)
        if callable(method) and not isinstance(value, type):
            value = method()
            if isinstance(value, str):
                _parse(value, "$")
                return _encode(value)
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain)
        except NotSerialisable as error:
            _explain(value, "$", ())
            raise error
        except (TypeError, ValueError, RecursionError) as error:
            _explain(value, "$", ())
            raise NotSerialisable("the result can't be written as JSON: %s" % error) from None
        return _encode(text)


@contextlib.contextmanager
def integers_of_any_size():
    """Lift the interpreter's guard against long integers, and put it back."""
    if not hasattr(sys, "set_int_max_str_digits"):
        yield
        return
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(limit)


def _plain(value):
    """Return an object one step nearer to what JSON has."""
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
                plain = method(**arguments)
                return _parse(plain, "$") if name == "to_json" and isinstance(plain, str) else plain
        if hasattr(value, "__dict__"):
            return value.__dict__
        if hasattr(value, "__dataclass_fields__"):
            return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise NotSerialisable("%s is not something JSON has" % type(value).__name__)


def _parse(text, path):
    def refuse(constant):
        raise NotSerialisable("%s is not JSON; it stands in what to_json() returned at %s" % (constant, path))

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise NotSerialisable(
            "to_json() at %s returned something that is not JSON: %s" % (path, error)
        ) from None


def _encode(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotSerialisable(
            "the result has half a surrogate pair, which UTF-8 can't hold: %s" % error
        ) from None


def _explain(value, path, outer):
    """Raise NotSerialisable for the first thing below value that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise NotSerialisable("%s at %s is not JSON" % (name, path))
    if value is None or isinstance(value, (str, int, float)):
        return
    if id(value) in outer:
        raise NotSerialisable("%s refers to something that it is part of" % path)
    if len(outer) > 900:
        raise NotSerialisable("the result is nested too deeply")
    outer = (*outer, id(value))
    if isinstance(value, dict):
        for key, each in value.items():
            if not (key is None or isinstance(key, (str, int, float))):
                raise NotSerialisable("%s has a key that is not a string: %r" % (path, key))
            _explain(each, "%s.%s" % (path, key), outer)
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            _explain(each, "%s[%d]" % (path, index), outer)
    else:
        try:
            plain = _plain(value)
        except NotSerialisable as error:
            raise NotSerialisable("%s: %s" % (path, error)) from None
        _explain(plain, path, outer)
