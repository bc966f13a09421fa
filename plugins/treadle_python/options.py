"""What the host's plugin reads: the keys of treadle.toml, and its section of engine.toml."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of treadle.toml that the runtime `host` adds; also in a table `[host]`."""

    start: Literal["fork", "spawn"] = "fork"
    """`fork`: each job is forked from the service's fork server; `spawn`: each job starts an interpreter."""
    preload: tuple[str, ...] = ()
    """Modules that the fork server imports, once."""
    workdir: Literal["empty", "project"] = "empty"
    """The working folder of a program: an empty one of its own, or the project's."""
    tmp: Literal["private", "host"] = "private"
    """The temporary files and the shared memory of a program: its own, or the host's (/tmp and /dev/shm)."""
    keep_work: Literal["never", "failed"] = "never"
    """`failed`: the working folder of an attempt that failed or was stopped stays, as work/ in the job's."""
    output_limit: Annotated[int, Meta(gt=0)] = 1024**3
    """Bytes of stdout that are kept, and as many of stderr."""


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of treadle.toml that the program `command` adds; also in a table `[command]`."""

    command: tuple[str, ...] = ()
    """The program and its arguments."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The section `[plugins.python-template]` of engine.toml."""

    contain: Literal["auto", "namespace", "subreaper"] = "auto"
    """How a program's processes are kept together; `auto`: by the first way that is permitted."""
    idle: Annotated[float, Meta(ge=0)] = 30.0
    """Seconds after which a fork server without a lease ends."""
    installer: Literal["auto", "uv", "pip"] = "auto"
    """What `treadle build` installs packages with; `auto`: uv where it is on the PATH, else pip."""
