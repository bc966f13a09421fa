"""The keys of treadle.toml that programs and runtimes add: who declares them, and how they are read.

Each program and runtime declares its keys as a struct, or as a mapping of keys to types. In treadle.toml a
key stands at the top level, where it holds for all that declare it, or in a table that is named after its
owner: `[docker]`, or `[container]` for a kind of runtimes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from treadle.interface.errors import PluginError
from treadle.support.expected import InstanceOf, have_common_kind, keys_of, kinds, unreadable
from treadle.support.faults import first_fault
from treadle.support.typed import Place

Types = type | tuple[type, ...]
Declared = type[msgspec.Struct] | Mapping[str, Types]
"""How a program or a runtime declares its keys: as a typed struct, or by the types of their values alone."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A program or a runtime as the owner of keys."""

    kind: str
    """`program` or `runtime`."""
    name: str
    keys: Mapping[str, Any]
    """The annotated type of each key."""
    tables: frozenset[str]
    """The tables that its keys may stand in: its name, and the kinds of runtimes that it belongs to."""

    @classmethod
    def of(cls, kind: str, name: str, declared: Declared, kinds: Iterable[str] = ()) -> Owner:
        """Return the owner of what a program or a runtime declares.

        Raises PluginError for a type that no value can be checked against.
        """
        by_instance = isinstance(declared, Mapping)
        types = declared if isinstance(declared, Mapping) else keys_of(declared)
        keys: dict[str, Any] = {}
        for key, type_ in types.items():
            try:
                keys[key] = _instance_of(type_) if by_instance else _readable(type_)
            except TypeError as error:
                raise PluginError(f"{kind} {name!r} declares the key {key!r} wrongly: {error}") from error
        return cls(kind, name, keys, frozenset((name, *kinds)))


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """The options that a treadle.toml gives: raw values, each checked."""

    flat: Mapping[str, Any]
    """Those that hold for the service's program and runtimes."""
    by_owner: Mapping[str, Mapping[str, Any]]
    """Those that hold for each program and runtime, by its name."""


@dataclass(frozen=True, slots=True)
class KnownOptions:
    """The keys that the loaded plugins add to treadle.toml: a value."""

    owners: tuple[Owner, ...] = ()

    @property
    def keys(self) -> set[str]:
        """All keys."""
        return {key for owner in self.owners for key in owner.keys}

    @property
    def tables(self) -> set[str]:
        """The names of all tables."""
        return {table for owner in self.owners for table in owner.tables}

    def extended(self, owners: Iterable[Owner], reserved: Collection[str]) -> KnownOptions:
        """Return these and the owners' keys.

        Raises PluginError if a key is reserved, or is there already for values of another kind.
        """
        known = self
        for owner in owners:
            if taken := sorted(set(owner.keys) & set(reserved)):
                raise PluginError(
                    f"{owner.kind} {owner.name!r} claims keys of treadle.toml that are Treadle's: "
                    f"{', '.join(taken)}"
                )
            for key, type_ in owner.keys.items():
                known._refuse_other_kind(owner, key, type_)
            known = replace(known, owners=(*known.owners, owner))
        return known

    def read(
        self, values: Mapping[str, Any], place: Place, names: Collection[str], beside: Collection[str] = ()
    ) -> GivenOptions:
        """Return what a treadle.toml gives beside Treadle's own keys.

        names are those of the program and the runtime that the service uses. Raises the place's error for a
        key that is unknown, is given twice or has a wrong value.
        """
        top: dict[str, Any] = {}
        tables: dict[str, Mapping[str, Any]] = {}
        for key, value in values.items():
            if key in beside:
                continue
            if isinstance(value, dict) and key in self.tables and not self._takes_table(key):
                self._check_table(value, replace(place, table=(key,)), beside)
                tables[key] = value
            elif key in self.keys:
                in_use_first = sorted(self.owners, key=lambda owner: owner.tables.isdisjoint(names))
                _check(key, value, in_use_first, place)
                top[key] = value
            elif key in self.tables:
                raise place.wrong_value(key, value, dict)
            else:
                raise place.unknown_key(key, {*beside, *self.keys, *self.tables})
        by_owner: dict[str, dict[str, Any]] = {}
        flat = dict(top)
        for owner in self.owners:
            own = _of_owner(owner, top, tables, place)
            by_owner.setdefault(owner.name, {}).update(own)
            if not owner.tables.isdisjoint(names):
                flat |= own
        return GivenOptions(flat, by_owner)

    def _takes_table(self, key: str) -> bool:
        """Return whether a key's own value is a table."""
        types = [owner.keys[key] for owner in self.owners if key in owner.keys]
        return any(kinds(type_) & {"a table", "anything"} for type_ in types)

    def _check_table(self, values: Mapping[str, Any], place: Place, beside: Collection[str]) -> None:
        """Raise the place's error for the first fault in the table of an owner, or of a kind."""
        owners = [owner for owner in self.owners if place.table[0] in owner.tables]
        known = {key for owner in owners for key in owner.keys}
        for key, value in values.items():
            if key not in known:
                raise place.unknown_key(key, known, self._home(key, beside))
            _check(key, value, owners, place)

    def _home(self, key: str, beside: Collection[str]) -> str:
        """Return where a key belongs that its table does not take; empty if nowhere."""
        if key in beside:
            return f"`{key}` belongs at the top level"
        owners = [owner for owner in self.owners if key in owner.keys]
        tables = sorted({f"[{table}]" for owner in owners for table in owner.tables})
        *others, last = tables or [""]
        where = f"{', '.join(others)} or {last}" if others else last
        return f"`{key}` belongs in {where}" if where else ""

    def _refuse_other_kind(self, owner: Owner, key: str, type_: Any) -> None:
        for other in self.owners:
            if key in other.keys and not have_common_kind(other.keys[key], type_):
                raise PluginError(
                    f"{owner.kind} {owner.name!r} claims the key {key!r} of treadle.toml for "
                    f"{' or '.join(sorted(kinds(type_)))}; for {other.kind} {other.name!r} it is "
                    f"{' or '.join(sorted(kinds(other.keys[key])))}"
                )


def _instance_of(declared: Any) -> InstanceOf:
    """Return the types that are declared for a key; raise TypeError if `isinstance` does not take one."""
    types = tuple(_single_types(declared))
    for each in types:
        isinstance(None, each)
    if not types:
        raise TypeError("it has no type")
    return InstanceOf(types)


def _single_types(declared: Any) -> Iterator[Any]:
    if isinstance(declared, tuple) or get_origin(declared) in {Union, UnionType}:
        for each in declared if isinstance(declared, tuple) else get_args(declared):
            yield from _single_types(each)
    else:
        yield object if declared is Any else declared


def _readable(type_: Any) -> Any:
    """Return the type of a struct's field; raise TypeError if msgspec can't read values of the type."""
    if unknown := unreadable(type_):
        raise TypeError(f"type `{unknown.__name__}` can't be read from TOML")
    return type_


def _check(key: str, value: object, owners: Iterable[Owner], place: Place) -> None:
    """Raise the place's error unless one of the owners takes the value; the error is that of the first."""
    types = [owner.keys[key] for owner in owners if key in owner.keys]
    faults = [first_fault(value, type_, (key,)) for type_ in types]
    if faults[0] is not None and all(faults):
        raise place.error_of(faults[0])


def _of_owner(
    owner: Owner, top: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]], place: Place
) -> dict[str, Any]:
    """Return what is given for an owner; raise the place's error if a key is given twice."""
    own: dict[str, Any] = {}
    for table in ("", *sorted(owner.tables & set(tables))):
        for key, value in (tables[table] if table else top).items():
            if key in own:
                inside = replace(place, table=(table,))
                detail = f"{key}{inside.inside} is given twice for {owner.kind} {owner.name!r}: remove one"
                raise inside.fault(detail, key)
            if key in owner.keys:
                own[key] = value
    return own
