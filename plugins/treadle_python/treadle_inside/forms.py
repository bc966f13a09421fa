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
| bytes, bytearray, memoryview, complex | its text, and the status says so |
| with tolist() (NumPy, torch) | what that returns |
| another mapping, a UserList | an object, a list |
| with fields (`__dict__`, a dataclass) | an object of them |
| anything else | an error that names its path |

A subclass is treated as its base. Fields alone don't make a value: an object without any field or with
private ones only, and one that holds more than its fields (`__slots__`, what is written in C, such as an
exception or a function) are errors, since nobody has meant an object of JSON with them.
"""

from __future__ import annotations

import enum
import struct
import sys
import types
from collections import UserList
from collections.abc import Mapping

from .own_json import NotSerialisable, parse_strictly

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

_RESPONSES = frozenset({"ResultResponse", "ErrorResponse"})
"""The classes of the templates, which may have no field."""
_DICT_AND_WEAKREFS = 2 * struct.calcsize("P")
"""Bytes that a class may add to the objects of its base without holding anything by them."""
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9, "ps": 12, "fs": 15, "as": 18}
"""The digits behind the point of a second in NumPy's units."""
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
        if callable(getattr(type(value), name, None)):  # not what an object invents when it is asked
            simpler = getattr(value, name)(**arguments)
            return parse_strictly(simpler) if name == "to_json" and isinstance(simpler, str) else simpler
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
    if hasattr(value, "to_timedelta64"):  # that of pandas has nanoseconds
        return str(_numpy_duration(value.to_timedelta64(), sys.modules["numpy"]))
    sign, value = ("-", -value) if value.days < 0 else ("", value)
    return _iso_text(sign, value.days, value.seconds, f"{value.microseconds:06}")


def _iso_text(sign: str, days: int, seconds: int, fraction: str) -> str:
    """Return a duration by ISO 8601; seconds are less than a day, fraction is what is behind its point."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = fraction.rstrip("0")
    last = f"{seconds}.{fraction}" if fraction else f"{seconds}" if seconds else ""
    parts = ((f"{hours}", "H"), (f"{minutes}", "M"), (last, "S"))
    time = "".join(f"{number}{unit}" for number, unit in parts if number not in ("", "0"))
    date = f"{days}D" if days else ""
    return f"{sign}P{date}T{time}" if time else f"{sign}P{date}" if date else "PT0S"


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
    return str(numpy.datetime_as_string(value)) if kind == "M" else _numpy_duration(value, numpy)


def _numpy_duration(value: Any, numpy: Any) -> Any:
    """Return a duration of NumPy by ISO 8601, exactly; the number of one without a unit."""
    unit, count = numpy.datetime_data(value.dtype)
    number = int(value.astype("int64")) * count
    if unit == "generic":
        return number
    sign, number = "-" if number < 0 else "", abs(number)
    if unit in ("Y", "M", "W", "D"):
        return f"{sign}P{number}{unit}"
    if unit in ("h", "m"):
        return f"{sign}PT{number}{unit.upper()}"
    digits = _DIGITS[unit]
    seconds, fraction = divmod(number, 10**digits)
    days, seconds = divmod(seconds, 86400)
    return _iso_text(sign, days, seconds, f"{fraction:0{digits}}" if digits else "")


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
    if isinstance(value, memoryview):
        value = bytes(value)
    return str(value) if isinstance(value, (bytes, bytearray, complex)) else _NONE


def _listed(value: Any) -> Any:
    """Return what an array holds."""
    method = getattr(value, "tolist", None)
    if not callable(method):
        return _NONE
    names = getattr(getattr(value, "dtype", None), "names", None)
    if names:  # a record, or an array of them: its fields have forms of their own
        return list(value) if getattr(value, "ndim", 0) else [value[name] for name in names]
    simpler = method()
    if type(simpler) is not type(value):
        return simpler
    return complex(simpler) if hasattr(simpler, "imag") and simpler.imag else float(simpler)  # longdouble


def _are_all(value: Any, fields: dict[str, Any]) -> bool:
    """Return whether fields are what an object is: not only private ones, which are a library's matter."""
    return any(not name.startswith("_") for name in fields) and not _holds_more(type(value))


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
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, UserList):
        return list(value)
    fields = getattr(value, "__dict__", None)
    if isinstance(fields, dict) and (_is_response(value) or _are_all(value, fields)):
        return fields
    if hasattr(value, "__dataclass_fields__"):
        return {**{name: getattr(value, name) for name in value.__dataclass_fields__}, **(fields or {})}
    return _NONE


def _is_response(value: Any) -> bool:
    return any(kind.__name__ in _RESPONSES for kind in type(value).__mro__)
