"""The forms of values that json does not know itself.

In this order; the first that applies counts:

| a value | becomes |
| --- | --- |
| an Enum | its value |
| pandas' NaT and NA, NumPy's NaT | null |
| with to_json(), pydantic's model_dump() or dict() | what that returns |
| datetime, date, time, timedelta, numpy.datetime64, numpy.timedelta64 | text by ISO 8601 |
| Decimal, UUID, Path, pandas' Period | its text |
| set, frozenset | a list |
| bytes, bytearray, complex | its text, and the status says so |
| with tolist() (NumPy, torch) | what that returns |
| with fields (`__dict__`, a dataclass) | an object of them |
| anything else | an error that names its path |

A subclass is treated as its base. Fields alone don't make a value: an exception, a function, an object
without any field, and one that holds more than its fields (`__slots__`, what a library in C keeps) are
errors, since nobody has meant an object of JSON with them.
"""

from __future__ import annotations

import enum
import struct
import sys
import types

from .own_json import NotSerialisable, parse_strictly

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

_RESPONSES = frozenset({"ResultResponse", "ErrorResponse"})
"""The classes of the templates, which may have no field."""
_DICT_AND_WEAKREFS = 2 * struct.calcsize("P")
"""Bytes that a class may add to the objects of its base without holding anything by them."""
_NONE = object()
"""What a form returns for a value that it does not apply to."""


def simpler(value: Any) -> tuple[Any, bool]:
    """Return a simpler value for one that json does not know, and whether it is but its text.

    Called again if json does not know the simpler one either. Raises NotSerialisable, without a path.
    """
    if isinstance(value, enum.Enum):
        return value.value, False
    if not isinstance(value, type):
        for form in (_missing, _own_form, _of_library, _text, _listed, _fields):
            found = form(value)
            if found is not _NONE:
                return found, form is _text
    raise NotSerialisable(f"{type(value).__name__} is not something JSON has")


def _missing(value: Any) -> Any:
    """Return None for a value that stands for one that is missing."""
    kind = type(value)
    return None if kind.__name__ in ("NaTType", "NAType") and kind.__module__.startswith("pandas.") else _NONE


def _own_form(value: Any) -> Any:
    """Return what an object makes of itself."""
    for name, arguments in (("to_json", {}), ("model_dump", {"mode": "json"}), ("dict", {})):
        method = getattr(value, name, None)
        if callable(method):
            simpler = method(**arguments)
            return parse_strictly(simpler, "$") if name == "to_json" and isinstance(simpler, str) else simpler
    return _NONE


def _of_library(value: Any) -> Any:
    """Return the form of a value of a known class; its library is imported, or it could not be one."""
    if isinstance(value, (set, frozenset)):
        return list(value)
    for module, names, form in _FORMS:
        if library := sys.modules.get(module):
            kinds = tuple(kind for name in names if isinstance(kind := getattr(library, name, None), type))
            if isinstance(value, kinds):
                return form(value)
    return _NONE


def _iso_duration(value: Any) -> str:
    """Return a timedelta by ISO 8601, as pydantic does: `-P1DT2.5S`."""
    sign, value = ("-", -value) if value.days < 0 else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    days = f"{value.days}D" if value.days else ""
    parts = (f"{hours}H" if hours else "", f"{minutes}M" if minutes else "")
    last = f"{seconds}{fraction}S" if seconds or fraction else ""
    time = "".join((*parts, last))
    return f"{sign}P{days}T{time}" if time else f"{sign}P{days}" if days else "PT0S"


def _isoformat(value: Any) -> str:
    return str(value.isoformat())


def _numpy_time(value: Any) -> Any:
    """Return a moment or a duration of NumPy, or an array of them; the others have tolist()."""
    kind = getattr(value.dtype, "kind", "")
    if kind not in ("M", "m"):
        return _NONE
    if value.ndim:
        return list(value)
    numpy = sys.modules["numpy"]
    if numpy.isnat(value):
        return None
    if kind == "M":
        return str(numpy.datetime_as_string(value))
    return value.astype("timedelta64[us]").item()


_FORMS: tuple[tuple[str, tuple[str, ...], Callable[[Any], Any]], ...] = (
    ("numpy", ("generic", "ndarray"), _numpy_time),
    ("datetime", ("datetime", "date", "time"), _isoformat),
    ("datetime", ("timedelta",), _iso_duration),
    ("decimal", ("Decimal",), str),
    ("uuid", ("UUID",), str),
    ("pathlib", ("PurePath",), str),
    ("pandas", ("Period",), str),
)
"""A module, the names of classes in it, and the form of their values."""


def _text(value: Any) -> Any:
    """Return the text of what has no other form."""
    return str(value) if isinstance(value, (bytes, bytearray, complex)) else _NONE


def _listed(value: Any) -> Any:
    """Return what an array holds."""
    method = getattr(value, "tolist", None)
    if not callable(method):
        return _NONE
    simpler = method()
    return float(simpler) if type(simpler) is type(value) else simpler  # numpy.longdouble


def _holds_more(kind: type) -> bool:
    """Return whether the objects of a class hold more than a dict of fields and their weak references."""
    for each in kind.__mro__[:-1]:
        if any(isinstance(member, types.MemberDescriptorType) for member in vars(each).values()):
            return each is not types.SimpleNamespace  # its only member is the dict
        if (
            each.__base__ is not None
            and each.__basicsize__ > each.__base__.__basicsize__ + _DICT_AND_WEAKREFS
        ):
            return True
    return False


def _fields(value: Any) -> Any:
    """Return the fields of an object; none of an object that is more than them."""
    names = {kind.__name__ for kind in type(value).__mro__}
    if not names & _RESPONSES and isinstance(value, (BaseException, types.ModuleType, types.FunctionType)):
        return _NONE
    fields = getattr(value, "__dict__", None)
    if isinstance(fields, dict) and (fields or names & _RESPONSES) and not _holds_more(type(value)):
        return fields
    if hasattr(value, "__dataclass_fields__"):
        return {**{name: getattr(value, name) for name in value.__dataclass_fields__}, **(fields or {})}
    return _NONE
