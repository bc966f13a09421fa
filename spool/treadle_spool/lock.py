"""The lock of the engine: at most one engine claims and ends the jobs of a spool.

The lock is a `flock` on engine.lock. The kernel releases it when the process ends, also after a crash, so
there is no stale lock. The file stays when the lock is released. Its content, the pid and the start time, is
used in messages only.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
import orjson

from treadle_spool.clock import now
from treadle_spool.durable import write_all
from treadle_spool.errors import SpoolInUse
from treadle_spool.identity import LOCK
from treadle_spool.owner import Owner

if TYPE_CHECKING:
    from treadle_spool.spool import Spool


class EngineLock:
    """The lock of a spool. It is held from `with` to its end, and gives the Owner of the spool.

    Raises SpoolInUse, with the pid of the holder, if another process holds the lock.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._path = spool.root / LOCK
        self._fd: int | None = None

    def holder(self) -> int | None:
        """Return the pid of the process that holds the lock, or None; the lock itself is not touched."""
        try:
            file = self._path.stat()
        except FileNotFoundError:
            return None
        inode = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == inode:
                return int(fields[4])
        return None

    def __enter__(self) -> Owner:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            content = os.read(fd, 4096)
            os.close(fd)
            raise SpoolInUse(f"{self._path.parent} is held by another engine: {_describe(content)}") from None
        os.ftruncate(fd, 0)
        write_all(fd, orjson.dumps({"pid": os.getpid(), "since": now()}))
        self._fd = fd
        self._owner = Owner(self._spool)
        return self._owner

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            self._owner.end()
            os.close(self._fd)
            self._fd = None


def _describe(content: bytes) -> str:
    try:
        fields = msgspec.json.decode(content, type=dict[str, object])
    except msgspec.DecodeError:
        return "its process has not written its pid yet"
    return f"process {fields.get('pid')}, since {fields.get('since')}"
