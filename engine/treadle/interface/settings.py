"""The engine's settings: one frozen value, which is read once and passed down."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from treadle.interface.errors import SettingsError
from treadle.support.hints import nearest
from treadle_spool import Retention

MIB = 1024 * 1024


def default_spool() -> Path:
    """Return the default path of the spool, below the user's state directory (XDG)."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "treadle" / "spool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of this host's engine, for the lifetime of a process.

    A flag wins over the environment (TREADLE_…), and the environment over engine.toml. Raises SettingsError
    for a value that no engine can run with.
    """

    spool: Path = field(default_factory=default_spool)
    projects: tuple[Path, ...] = ()
    """The service projects to serve."""
    services: Path | None = None
    """A folder; each service project in it is served."""
    host: str = "127.0.0.1"
    port: int = 8081
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """How many jobs run at a time."""
    plugins_dir: Path | None = None
    """A folder of plugins that are single files."""
    disable: tuple[str, ...] = ()
    """The names of plugins that are not loaded."""
    prefer: tuple[str, ...] = ()
    """Runtimes to try first if a service leaves the choice."""
    data_pools: Path | None = None
    """The folder in which `dataRef` finds <dataPoolId>/<fileId>."""
    attempts: int = 2
    """How often a job is started at most."""
    grace: float = 10.0
    """The grace period: seconds that a program has to end after it was asked to; then it is killed."""
    max_body: int = 64 * MIB
    """The largest job descriptor, in bytes, as a request's body or as a dropped file."""
    max_result: int = 256 * MIB
    """The largest result, in bytes."""
    queue_limit: int = 100_000
    """How many jobs may wait or run at a time; a further one is answered 429."""
    disk_reserve: int = 64 * MIB
    """Bytes that must be free on the spool's disk; if there are fewer, the API answers 507."""
    rescan: float = 30.0
    """Seconds between two listings of the watched folders, which find files that had no event."""
    tidy: float = 30.0
    """Seconds between two rounds of housekeeping: orphans and expired jobs are removed."""
    keep_days: float | None = None
    """Days that ended jobs and refused files are kept; None: no limit."""
    keep_jobs: int | None = None
    """How many ended jobs of each service are kept; None: no limit."""
    keep_bytes: int | None = None
    """How many bytes of each service's ended jobs are kept; None: no limit."""
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The section of each plugin: [plugins.<name>] in engine.toml."""

    def __post_init__(self) -> None:
        """Raise SettingsError for a value that no engine can run with."""
        for name in ("jobs", "attempts", "max_body", "max_result", "queue_limit", "rescan", "tidy"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be greater than 0, not {getattr(self, name)}")
        for name in ("grace", "disk_reserve", "keep_days", "keep_jobs", "keep_bytes"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise SettingsError(f"{name} must not be negative, not {value}")

    @property
    def retention(self) -> Retention:
        """The retention of each service's ended jobs."""
        return Retention(days=self.keep_days, jobs=self.keep_jobs, bytes=self.keep_bytes)

    def of_plugin(self, name: str) -> Mapping[str, Any]:
        """Return the plugin's own section of engine.toml."""
        return self.plugins.get(name, {})


def config_file() -> Path | None:
    """Return the default engine.toml: the user's, else the host's, else None."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    for folder in (Path(home).expanduser() / "treadle", Path("/etc/treadle")):
        if (path := folder / "engine.toml").exists():
            return path
    return None


def read_config(path: Path | None) -> dict[str, Any]:
    """Return the settings in an engine.toml; raise SettingsError for a key that is not known."""
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from error
    known = {each.name for each in fields(Settings)}
    for key in values:
        if key not in known:
            raise SettingsError(f"{path}: unknown key {key!r}{nearest(key, known)}")
    return values
