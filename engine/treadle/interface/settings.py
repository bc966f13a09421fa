"""The engine's settings: one frozen value, which is read once and passed down.

A setting is one annotated field of `Settings`: its name is the key in engine.toml, the flag and, behind
TREADLE_, the environment variable. Its type says what is valid, and its description is the flag's help.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from treadle.interface.errors import SettingsError
from treadle.interface.user_folders import default_spool, has_default_spool
from treadle.support.expected import members
from treadle.support.folders import absolute, check_folder
from treadle.support.hints import nearest
from treadle.support.toml import TomlFile
from treadle.support.typed import Place, to_struct, to_value
from treadle_spool import Retention

MIB = 1024 * 1024

_NOWHERE = Path("/nonexistent")

Section = TypeVar("Section", bound=msgspec.Struct)

Count = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]
_NotNegative = Annotated[int, Meta(ge=0)]
_HostName = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9._-]+|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$",
        title="the name of a host, without scheme and port",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of this host's engine, for the lifetime of a process.

    A flag wins over the environment (TREADLE_…), and the environment over engine.toml. Raises SettingsError
    for a value that no engine can run with. `~` at the start of a path is the user's home. A relative path in
    engine.toml is relative to the file's folder, another one to the current folder; here they are absolute.
    """

    spool: Annotated[Path, Meta(description="The spool's folder; it is made if it does not exist.")] = field(
        default_factory=default_spool
    )
    projects: Annotated[tuple[Path, ...], Meta(description="The service projects to serve.")] = ()
    services: Annotated[
        Path | None,
        Meta(description="Serve every project in this folder.", extra={"exists": True}),
    ] = None
    host: Annotated[str, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The port to listen on; 0: a free one.")] = 8081
    hosts: Annotated[
        tuple[_HostName, ...],
        Meta(
            description="A further host name that requests may come to, or a web page's own that may make "
            "them; may be repeated."
        ),
    ] = ()
    jobs: Annotated[Count, Meta(description="How many jobs run at a time.")] = field(
        default_factory=lambda: os.cpu_count() or 1
    )
    plugins_dir: Annotated[
        Path | None,
        Meta(description="A folder of plugins that are single files.", extra={"exists": True}),
    ] = None
    disable: Annotated[tuple[str, ...], Meta(description="A plugin not to load; may be repeated.")] = ()
    prefer: Annotated[
        tuple[str, ...],
        Meta(
            description="A runtime to try first if a service leaves the choice, such as podman; "
            "may be repeated."
        ),
    ] = ()
    data_pools: Annotated[
        Path | None,
        Meta(
            description="The folder in which `dataRef` finds <dataPoolId>/<fileId>.", extra={"exists": True}
        ),
    ] = None
    attempts: Annotated[Count, Meta(description="How often a job is started at most.")] = 2
    grace: Annotated[
        float, Meta(ge=0, description="Seconds between asking a program to end and killing it.")
    ] = 10.0
    max_body: Annotated[
        Count, Meta(description="The largest job, in bytes, as a request's body or as a dropped file.")
    ] = 64 * MIB
    validation_seconds: Annotated[
        Seconds,
        Meta(
            description="CPU seconds for checking a job's input against its service's schema, or for "
            "decoding a large job, and 1 more for each MiB of it; beyond that the job is refused."
        ),
    ] = 1.0
    max_result: Annotated[Count, Meta(description="The largest result, in bytes.")] = 256 * MIB
    queue_limit: Annotated[
        Count, Meta(description="How many jobs may wait or run; a further one gets 429.")
    ] = 100_000
    disk_reserve: Annotated[
        _NotNegative, Meta(description="Bytes that must be free on the disk; with fewer, a job gets 507.")
    ] = 64 * MIB
    keep_days: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Days that ended jobs and refused files are kept."),
    ] = None
    keep_jobs: Annotated[
        _NotNegative | None, Meta(description="How many ended jobs of each service are kept.")
    ] = None
    keep_bytes: Annotated[
        _NotNegative | None, Meta(description="How many bytes of each service's ended jobs are kept.")
    ] = None
    tidy: Annotated[
        Seconds, Meta(description="Seconds between two removals of orphans and expired jobs.")
    ] = 30.0
    rescan: Annotated[
        Seconds,
        Meta(description="Seconds between two listings of the folders, for files without an event."),
    ] = 30.0
    plugins: Annotated[
        Mapping[str, Mapping[str, Any]],
        Meta(description="The section of each plugin: [plugins.<name>] in engine.toml."),
    ] = field(default_factory=dict)
    file: TomlFile | None = field(default=None, repr=False, compare=False)
    """The engine.toml that values come from, for errors about a plugin's section. Not a key."""

    def __post_init__(self) -> None:
        """Convert each value to its type; raise SettingsError for one that no engine can run with."""
        for name, type_ in setting_types().items():
            given = getattr(self, name)
            is_from_file = self.file is not None and self.file.values.get(name) == given
            place = self._place() if is_from_file else Place(SettingsError)
            value = absolute(to_value(name, given, type_, place))
            if any((meta.extra or {}).get("exists") for _, meta in members(type_)):
                check_folder(name, value, place)
            object.__setattr__(self, name, value)

    @property
    def retention(self) -> Retention:
        """The retention of each service's ended jobs."""
        return Retention(days=self.keep_days, jobs=self.keep_jobs, bytes=self.keep_bytes)

    def of_plugin(self, name: str) -> Mapping[str, Any]:
        """Return the plugin's own section of engine.toml, unchecked."""
        return self.plugins.get(name, {})

    def section(self, name: str, kind: type[Section]) -> Section:
        """Return the plugin's own section of engine.toml as a struct, whose fields are its only keys.

        For the hooks that get the settings. Raises SettingsError with file, line and key: let it pass, it
        stops the start.
        """
        return to_struct(self.of_plugin(name), kind, self._place("plugins", name))

    def unknown_name(self, kind: str, key: str, name: str, known: Iterable[str]) -> Exception:
        """Return the error about a name that a setting gives and that no plugin or runtime has."""
        return self.wrong_name(key, name, f"there is no {kind} named {name!r}{nearest(name, known)}")

    def wrong_name(self, key: str, name: str, detail: str) -> Exception:
        """Return the error about a name that a setting gives."""
        is_section = key == "plugins"
        where = f"[plugins.{name}]" if is_section else key
        keys = (key, name) if is_section else (key,)
        in_file = self.file is not None and name in self.file.values.get(key, ())
        place = self._place() if in_file else Place(SettingsError)
        return place.fault(f"{where}: {detail}", *keys)

    def _place(self, *table: str) -> Place:
        """Return the place of a table of engine.toml, for errors about it."""
        return _place_in(self.file, *table) if self.file else Place(SettingsError, table=table)


@cache
def setting_types() -> Mapping[str, Any]:
    """Return the settings by name, with their annotated types; these are the keys of engine.toml."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    return {each.name: hints[each.name] for each in fields(Settings) if each.name != "file"}


def read_config(path: Path | None) -> TomlFile | None:
    """Return an engine.toml, typed; raise SettingsError for an unknown key or a wrong value."""
    if path is None:
        return None
    file = TomlFile.read(path.absolute(), SettingsError)
    place, typed = _place_in(file), {}
    for key, value in file.values.items():
        if key not in setting_types():
            raise place.unknown_key(key, setting_types())
        typed[key] = to_value(key, value, setting_types()[key], place)
    return replace(file, values=typed)


def read_environment(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return those settings that a TREADLE_ variable sets; raise SettingsError for a wrong value."""
    variables = {name: f"TREADLE_{name.upper()}" for name in names}
    return {
        name: to_value(variable, value, setting_types()[name], Place(SettingsError), strict=False)
        for name, variable in variables.items()
        if (value := environment.get(variable, "").strip())
    }


def make_settings(config: TomlFile | None, given: Mapping[str, Any], *, needs_spool: bool = True) -> Settings:
    """Return the settings from what is given (None and () are not), then engine.toml, then the defaults.

    Where no spool is needed, a user without a home folder need not name one: then it is one that is nowhere.
    """
    values: dict[str, Any] = {} if needs_spool or has_default_spool() else {"spool": _NOWHERE}
    values |= dict(config.values) if config else {}
    values |= {name: value for name, value in given.items() if value not in (None, ())}
    return Settings(**values, file=config)


def _place_in(file: TomlFile, *table: str) -> Place:
    """Return the place of a table of engine.toml."""
    return Place(SettingsError, file=file, table=table, folder=file.path.parent)
