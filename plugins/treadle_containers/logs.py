"""What a container prints, copied into the attempt's folder byte for byte."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)


class LogFile:
    """A log that is copied from its start, perhaps for the second time, up to a limit.

    What the file has already is compared and not written again, so that whoever reads it meanwhile
    sees it only grow. Once closed, writes go nowhere: a copy that nobody waits for may come late.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.full = False
        """Whether there was more than the limit."""
        self._limit = limit
        self._path = path
        self._lock = threading.Lock()
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        self._have = os.fstat(self._fd).st_size
        self._at = 0

    @property
    def complete(self) -> bool:
        """Whether the file has all that it may have."""
        return self._have >= self._limit

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the log."""
        with self._lock:
            if self._fd is None or not chunk:
                return
            room = self._limit - self._at
            if len(chunk) > room:
                self.full = True
                chunk = chunk[:room]
            if self._at < self._have:
                chunk = self._compare(self._fd, chunk)
            while chunk:
                written = os.pwrite(self._fd, chunk, self._at)
                self._at += written
                chunk = chunk[written:]
            self._have = max(self._have, self._at)

    def again(self) -> None:
        """Take the log from its start once more."""
        with self._lock:
            self._at = 0

    def _compare(self, fd: int, chunk: bytes) -> bytes:
        """Return what of the chunk the file does not have yet."""
        known = os.pread(fd, min(len(chunk), self._have - self._at), self._at)
        if chunk.startswith(known):
            self._at += len(known)
            return chunk[len(known) :]
        log.warning("%s differs from what its container has printed; it is written anew", self._path)
        os.ftruncate(fd, self._at)
        self._have = self._at
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
