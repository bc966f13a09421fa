"""Values that people write, in TOML, JSON and the environment, read into typed structs by msgspec.

A fault names where the value stands, the key, what was expected and what was found instead; for an unknown
key the nearest known one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from treadle.support.expected import decode, fits, in_words, innermost, keys_of
from treadle.support.hints import nearest
from treadle.support.toml import TomlFile

Kind = TypeVar("Kind", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Place:
    """Where values stand; makes the errors about them. Without a file, the name alone says where."""

    error: type[Exception]
    name: str = ""
    file: TomlFile | None = None
    table: tuple[str, ...] = ()
    """The keys of the table in the file; empty: its top level."""

    @property
    def inside(self) -> str:
        """The table in words, to be appended to a key."""
        return f" in [{'.'.join(self.table)}]" if self.table else ""

    def fault(self, detail: str, *keys: str) -> Exception:
        """Return an error about a key of the table, or one further inside; without keys: about the table."""
        where = self.file.where(*self.table, *keys) if self.file else self.name
        return self.error(f"{where}: {detail}" if where else detail)

    def unknown_key(self, key: str, known: Iterable[str]) -> Exception:
        """Return the error about a key that is not known."""
        return self.fault(f"unknown key {key!r}{self.inside}{nearest(key, known)}", key)

    def wrong_value(self, key: str, value: object, type_: Any, *, strict: bool = True) -> Exception:
        """Return the error about a value that does not fit its type; it names the innermost wrong value."""
        path, value, type_ = innermost(key, value, type_)
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        expected = in_words(type_, value, strict=strict)
        keys = path.partition("[")[0].split(".")
        return self.fault(f"{path}{self.inside} must be {expected}, not {shown}", *keys)


def to_struct(given: Mapping[str, Any], kind: type[Kind], place: Place) -> Kind:
    """Return the struct that holds the given values; raise the place's error at the first fault."""
    known = keys_of(kind)
    for key, value in given.items():
        if key not in known:
            raise place.unknown_key(key, known)
        if not fits(value, known[key]):
            raise place.wrong_value(key, value, known[key])
    for field in msgspec.structs.fields(kind):
        if field.required and (key := field.encode_name) not in given:
            raise place.fault(f"{key}{place.inside} is missing: it must be {in_words(known[key])}")
    try:
        return msgspec.convert(given, kind, dec_hook=decode)
    except msgspec.ValidationError as error:  # raised by the struct's own __post_init__
        raise place.fault(str(error)) from error


def to_value(key: str, value: object, type_: Any, place: Place, *, strict: bool = True) -> Any:
    """Return the value as one of the type, or raise the place's error; not strict: a number may be text."""
    try:
        return msgspec.convert(value, type_, strict=strict, dec_hook=decode)
    except msgspec.ValidationError:
        raise place.wrong_value(key, value, type_, strict=strict) from None
