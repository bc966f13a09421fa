"""The copy of a container's log in the attempt's folder: the bytes that the program printed, up to a limit.

The container engine keeps the log, and no request of it continues at a given byte. A copy may be
interrupted at any byte: by a crash of Treadle, by a restart of the container engine, or by the end of the
container. So a log is often copied more than once, while output parsers and clients read the file:

1. Every copy begins with the first byte of the log (in a new LogFile, or after `rewind`).
2. Bytes that the file already has are compared with the log and not written again.
3. Bytes after the end of the file are appended, up to the limit. Bytes beyond the limit are dropped, and
   `full` is set.
4. If the file differs from the log, it is truncated where the differing chunk begins, and the rest is
   written again. This is not expected, so a warning is logged.
5. After the file is closed, writes have no effect: the thread of a cancelled copy may still be running.

Invariant: the file is a prefix of the log, and it only grows (apart from step 4). To truncate the file at
the start of each copy would need no comparison, but then its readers would see it shrink.

log_copy.py decides when a log is copied.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from treadle import open_untrusted

log = logging.getLogger(__name__)


class LogFile:
    """The file of one stream, open for one or several copies of its log.

    It lives for one call of `wait`. One thread at a time writes it, and any thread may close it. The
    file survives a crash; the position in it does not, since each copy begins at the start.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """Open the file for at most limit bytes; anything else in its place raises OSError."""
        self.full = False
        """Whether the log has more bytes than the limit."""
        self._limit = limit
        self._path = path
        self._lock = threading.Lock()
        self._fd: int | None = open_untrusted(path, os.O_RDWR | os.O_CREAT)
        self._size = os.fstat(self._fd).st_size
        self._offset = 0

    @property
    def complete(self) -> bool:
        """Whether the file has as many bytes as the limit allows."""
        return self._size >= self._limit

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the log."""
        with self._lock:
            if self._fd is None or not chunk:
                return
            remaining = self._limit - self._offset
            if len(chunk) > remaining:
                self.full = True
                chunk = chunk[:remaining]
            if self._offset < self._size:
                chunk = self._compare(self._fd, chunk)
            while chunk:
                written = os.pwrite(self._fd, chunk, self._offset)
                self._offset += written
                chunk = chunk[written:]
            self._size = max(self._size, self._offset)

    def rewind(self) -> None:
        """Expect the log from its start again."""
        with self._lock:
            self._offset = 0

    def _compare(self, fd: int, chunk: bytes) -> bytes:
        """Return the part of the chunk that the file does not have yet."""
        existing = os.pread(fd, min(len(chunk), self._size - self._offset), self._offset)
        if chunk.startswith(existing):
            self._offset += len(existing)
            return chunk[len(existing) :]
        log.warning("%s differs from the log of its container; it is written again", self._path)
        os.ftruncate(fd, self._offset)
        self._size = self._offset
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
