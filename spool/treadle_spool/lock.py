"""One engine per spool: a lock that the kernel releases however its holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import orjson

from treadle_spool.durable import write_all
from treadle_spool.errors import SpoolInUse
from treadle_spool.status import now


class EngineLock:
    """The right to claim and end jobs, held from `with` to its end.

    Raises SpoolInUse, naming the holder, when another process has it. The file stays when the lock
    is gone: only the kernel's lock counts, never the file's content.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def holder(self) -> int | None:
        """Return the pid of the process that has the lock, or None; this does not touch the lock."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == device:
                return int(fields[4])
        return None

    def __enter__(self) -> Self:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 4096)
            os.close(fd)
            raise SpoolInUse(f"{self._path.parent} is held by another engine: {_describe(holder)}") from None
        os.ftruncate(fd, 0)
        write_all(fd, orjson.dumps({"pid": os.getpid(), "since": now()}))
        self._fd = fd
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _describe(holder: bytes) -> str:
    try:
        fields = msgspec.json.decode(holder, type=dict[str, object])
    except msgspec.DecodeError:
        return "it has not said who it is yet"
    return f"process {fields.get('pid')}, since {fields.get('since')}"
