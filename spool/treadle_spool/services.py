"""The services of a spool, between its engine and others: what it serves, and the request to read them again.

`services.json` is what the engine tells; nothing depends on it, and it is replaced as a whole. `reload` is
what others ask: whoever wants the services read again makes the file, or touches it if it is there. The
engine removes it when that is done; if it was touched meanwhile, the engine first reads everything again.

Neither is synced: after a power cut an engine starts, reads all services, and writes services.json.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from treadle_spool import reading
from treadle_spool.descriptor import Moment
from treadle_spool.errors import InvalidDescriptor
from treadle_spool.untrusted import UntrustedFile, read_regular

SERVICES = "services.json"
RELOAD = "reload"
_LARGEST = 64 * 1024 * 1024


def why_jobs_wait(name: str, error: str | None) -> str:
    """Return in a sentence why the jobs of a service wait: it is broken by an error, or not served (None)."""
    return f"service {name!r} is not served" if error is None else f"service {name!r} is broken: {error}"


class ListedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service that the engine knows."""

    name: str
    project: str
    """Its project folder."""
    error: str | None = None
    """Why it is broken; null if it works."""


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What the last reload that was asked for has found to be different from the one before it."""

    at: Moment
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class ServiceList(msgspec.Struct, frozen=True, kw_only=True):
    """The content of services.json."""

    services: tuple[ListedService, ...]
    reloaded: Reloaded | None = None

    def write(self, root: Path, draft: Path) -> None:
        """Replace services.json of a spool; draft is an unused path in its tmp/. Raises OSError."""
        draft.write_bytes(msgspec.json.encode(self))
        draft.rename(root / SERVICES)

    @classmethod
    def read(cls, root: Path) -> ServiceList | None:
        """Return what the engine of a spool has told last; None if that is nothing, or damaged."""
        with suppress(FileNotFoundError, UntrustedFile, InvalidDescriptor):
            return reading.decode(read_regular(root / SERVICES, _LARGEST), cls)
        return None

    def why_jobs_wait(self, name: str) -> str | None:
        """Return why the jobs of a service do not start, in a sentence; None if it works."""
        listed = [each for each in self.services if each.name == name]
        if any(each.error is None for each in listed):
            return None
        return why_jobs_wait(name, listed[0].error if listed else None)


class ReloadRequest(NamedTuple):
    """A file `reload`, in one state of it."""

    path: Path
    inode: int
    changed: int

    @classmethod
    def make(cls, root: Path) -> ReloadRequest:
        """Ask for a reload, and return the request; raise OSError."""
        path = root / RELOAD
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        try:
            os.utime(fd)
            file = os.fstat(fd)
        finally:
            os.close(fd)
        return cls(path, file.st_ino, file.st_ctime_ns)

    @classmethod
    def find(cls, root: Path) -> ReloadRequest | None:
        """Return the request that there is; raise OSError."""
        path = root / RELOAD
        try:
            file = path.lstat()
        except FileNotFoundError:
            return None
        return cls(path, file.st_ino, file.st_ctime_ns)

    def is_there(self) -> bool:
        """Return whether the file is still there, touched again or not."""
        with suppress(FileNotFoundError):
            return self.path.lstat().st_ino == self.inode
        return False

    def remove(self) -> bool:
        """Remove the file, since the reload is done; False if it was touched since. Raises OSError."""
        if self.find(self.path.parent) not in {self, None}:
            return False
        self.path.unlink(missing_ok=True)
        return True
