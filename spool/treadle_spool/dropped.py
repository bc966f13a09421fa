"""One dropped file, looked at: what it is, whether it is finished, and what it says. Nothing is changed here.

A dropped file is untrusted, and may be incomplete:

1. Open it without following links and without blocking. Check the open file: a regular file, one hard link,
   not too large.
2. Ask for a read lease (F_SETLEASE). EAGAIN means that a process has the file open for writing: it is not
   finished, whatever its name is. Where no lease is possible, a file that is not valid yet is not finished
   until it has been unchanged for a while. Nor is an empty file, or one that may not be read.
3. Read it. If its size or modification time has changed meanwhile, it is not finished.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

from treadle_spool.descriptor import Descriptor
from treadle_spool.errors import (
    HardLinked,
    InvalidJson,
    NotAFile,
    TooLarge,
    Unreadable,
)

_CHUNK = 1024 * 1024
_HASH = hashlib.blake2b
_MARKS = (
    (codecs.BOM_UTF8, "begins with a byte order mark (BOM): save it as UTF-8 without one"),
    (codecs.BOM_UTF32_LE, "is UTF-32: save it as UTF-8"),
    (codecs.BOM_UTF16_LE, "is UTF-16: save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "is UTF-16: save it as UTF-8"),
)
"""What other encodings of text begin with."""


class Unfinished(Exception):
    """A process may still be writing the file."""


class OpenFile:
    """An open dropped file, until it is closed; raises SpoolError for what is no job's file."""

    def __init__(self, path: Path) -> None:
        self._fd = _open(path)
        self.file = os.fstat(self._fd)
        """What it was when it was opened."""

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def check(self, max_bytes: int) -> None:
        """Raise SpoolError unless it is a regular file with one name, of at most this size."""
        if not stat.S_ISREG(self.file.st_mode):
            raise NotAFile("only regular files are taken: no links, folders, pipes, sockets or devices")
        if self.file.st_nlink > 1:
            raise HardLinked("the file has another name elsewhere: copy it instead of linking it")
        if self.file.st_size > max_bytes:
            raise TooLarge(f"the file has {self.file.st_size} bytes or more, and {max_bytes} are allowed")

    def has_no_writer(self) -> bool:
        """Return True if no process has the file open for writing, False if the kernel can't tell.

        Raises Unfinished if a process has it open for writing. A granted lease is released at once. If a
        writer opens the file meanwhile, the kernel sends SIGURG, which is ignored unless a handler is set.
        """
        if not stat.S_ISREG(self.file.st_mode):
            return False
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise Unfinished from None
            return False  # another user's file, or a file system without leases
        fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return True

    def read(self) -> bytes:
        """Return the content, which is read once; raise Unfinished if it changes meanwhile."""
        return b"".join(self._chunks())

    def digest(self) -> bytes:
        """Return the digest of the content, as `digest_of` does, without having it in memory as a whole.

        The content is read once; raises Unfinished if it changes meanwhile.
        """
        digest = _HASH()
        for chunk in self._chunks():
            digest.update(chunk)
        return digest.digest()

    def _chunks(self) -> Iterator[bytes]:
        size = 0
        while chunk := os.read(self._fd, _CHUNK):
            size += len(chunk)
            if size > self.file.st_size:
                raise Unfinished
            yield chunk
        after = os.fstat(self._fd)
        if (self.file.st_size, self.file.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Unfinished


def digest_of(content: bytes) -> bytes:
    """Return what tells one content from another."""
    return _HASH(content).digest()


def parse(raw: bytes) -> Descriptor:
    """Return the descriptor that a dropped file holds; raise InvalidDescriptor."""
    if not raw:
        raise InvalidJson("the file is empty")
    for mark, problem in _MARKS:
        if raw.startswith(mark):
            raise InvalidJson(f"the file {problem}")
    return Descriptor.from_client(raw)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAFile("symbolic links are not followed: copy the file instead") from None
        if error.errno in {errno.ENXIO, errno.ENODEV}:
            raise NotAFile("only regular files are taken: no sockets or devices") from None
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise Unreadable("the engine may not read the file: change its mode or owner") from None
        raise
