"""Values that people write, in TOML, JSON and the environment, read into typed structs by msgspec.

A fault names where the value stands, the key, what was expected and what was found instead; for an unknown
key the nearest known one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from treadle.support.expected import decoder, in_words
from treadle.support.faults import Fault, Problem, first_fault
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
    folder: Path | None = None
    """The folder that relative paths in the values are below; None: they stay relative."""

    @property
    def inside(self) -> str:
        """The table in words, to be appended to a key."""
        return f" in [{'.'.join(self.table)}]" if self.table else ""

    def fault(self, detail: str, *keys: str) -> Exception:
        """Return an error about a key of the table, or one further inside; without keys: about the table."""
        where = self.file.where(*self.table, *keys) if self.file else self.name
        return self.error(f"{where}: {detail}" if where else detail)

    def unknown_key(self, key: str, known: Iterable[str], hint: str = "") -> Exception:
        """Return the error about a key that is not known; the hint says more than the nearest known key."""
        hint = f"; {hint}" if hint else nearest(key, known, none="it takes no keys")
        return self.fault(f"unknown key {key!r}{self.inside}{hint}", key)

    def wrong_value(self, key: str, value: object, type_: Any) -> Exception:
        """Return the error about a value that does not fit its type."""
        return self.error_of(Fault(Problem.WRONG, (key,), type_, value))

    def error_of(self, fault: Fault, *, strict: bool = True) -> Exception:
        """Return the error about a fault."""
        where = f"{fault.path}{self.inside}"
        if fault.problem is Problem.UNKNOWN:
            hint = nearest(str(fault.steps[-1]), fault.known, none="it takes no keys")
            return self.fault(f"unknown key {fault.path!r}{self.inside}{hint}", *fault.keys)
        if fault.problem is Problem.MISSING:
            return self.fault(f"{where} is missing: it must be {in_words(fault.type_)}", *fault.keys)
        if fault.problem is Problem.REFUSED:
            return self.fault(f"{where}: {fault.detail}" if fault.steps else fault.detail, *fault.keys)
        value = fault.value
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        expected = in_words(fault.type_, value, strict=strict)
        return self.fault(f"{where} must be {expected}, not {shown}", *fault.keys)


def to_struct(given: Mapping[str, Any], kind: type[Kind], place: Place, *, closed: bool = True) -> Kind:
    """Return the struct that holds the given values; raise the place's error at the first fault.

    Not closed: keys that the struct does not have, at any depth, are ignored.
    """
    if fault := first_fault(given, kind, closed=closed):
        raise place.error_of(fault)
    return msgspec.convert(given, kind, dec_hook=decoder(place.folder))


def to_value(key: str, value: object, type_: Any, place: Place, *, strict: bool = True) -> Any:
    """Return the value as one of the type, or raise the place's error; not strict: a number may be text."""
    if fault := first_fault(value, type_, (key,), strict=strict):
        raise place.error_of(fault, strict=strict)
    return msgspec.convert(value, type_, strict=strict, dec_hook=decoder(place.folder))
