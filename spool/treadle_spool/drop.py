"""The intake of drop/: a file <name>.json there becomes the job <name>, or is refused and moved to bad/.

Anyone may drop files, so a file is untrusted, and may be incomplete. The steps for one file:

1. Leave a file that is named like a partial file (".x", "x.tmp", "x~"). Refuse an unsafe name.
2. Open it without following links and without blocking. Check the open file: a regular file, one hard link,
   not too large.
3. Ask for a read lease (F_SETLEASE). EAGAIN means that a process has the file open for writing: leave it.
   Where no lease is possible, leave a recently changed file that is not valid yet. Leave a recently changed
   empty file in any case.
4. Read it. If its size or modification time has changed meanwhile, leave the file.
5. Accept a copy as the job, with the identity of the file as the job's `origin`. Then unlink the file.

Invariant: a file leaves drop/ only when its job, or the reason of its refusal, is durable. After a crash
before the unlink the file is found again. A job with its name and `origin` exists by then, so the file is
only unlinked. If the job's `origin` is another one, the file is refused: its name is in use.

The device number was part of `origin` before, and was dropped: it may change at a reboot.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from treadle_spool.descriptor import Descriptor, Origin
from treadle_spool.errors import (
    HardLinked,
    InvalidDescriptor,
    NameTaken,
    NotAFile,
    SpoolError,
    TooLarge,
    Unreadable,
    UnsafeName,
)
from treadle_spool.folder import JOB
from treadle_spool.names import check_name
from treadle_spool.owner import Owner
from treadle_spool.status import Status
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, UntrustedFile, read_untrusted

_SUFFIX = ".json"
_PARTIAL_SUFFIXES = (".tmp", ".part", ".swp", "~")
_CHUNK = 1024 * 1024

Check = Callable[[Descriptor], None]
"""A callback that raises a SpoolError for a job that the engine does not accept."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The file was accepted as a job, and is removed."""

    status: Status


@dataclass(frozen=True, slots=True)
class Refused:
    """The file was refused, and is in bad/ now."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The file is left in drop/."""

    unfinished: bool
    """Whether to retry soon: a process may still be writing the file."""


class _Unfinished(Exception):
    """A process may still be writing the file."""


class DropFolder:
    """The reader of drop/, for as long as its owner holds the spool; it keeps no state."""

    def __init__(self, owner: Owner, *, max_bytes: int, settle: float = 2.0) -> None:
        """Refuse files of more than max_bytes; a file counts as recent for settle seconds after a change."""
        self.path = owner.spool.drop
        self._spool = owner.spool
        self._max_bytes = max_bytes
        self._settle = settle

    def names(self) -> list[str]:
        """Return the names of all entries of the folder."""
        return [entry.name for entry in os.scandir(self.path)]

    def take(self, name: str, check: Check) -> Taken | Refused | NotYet:
        """Accept the file as a job, refuse it and move it to bad/, or leave it because it is not finished.

        The file is opened without following links, and copied, not adopted. Raises OSError only for errors
        of the disk, never for faults of the file.
        """
        if name.startswith(".") or name.endswith(_PARTIAL_SUFFIXES):
            return NotYet(unfinished=False)
        try:
            return Taken(self._accept(name, check))
        except FileNotFoundError:
            return NotYet(unfinished=False)
        except _Unfinished:
            return NotYet(unfinished=True)
        except SpoolError as error:
            self._spool.quarantine.take(self.path / name, error)
            return Refused(name, str(error))

    def _accept(self, name: str, check: Check) -> Status:
        job = _job_name(name)
        raw, origin = self._read(name)
        descriptor = Descriptor.from_client(raw)
        check(descriptor)
        descriptor = msgspec.structs.replace(descriptor, created=None, origin=origin)
        try:
            status = self._find_accepted(job, origin) or self._spool.accept(descriptor, job)
        except NameTaken as error:
            raise NameTaken(f"{error}: choose another file name") from None
        (self.path / name).unlink(missing_ok=True)
        return status

    def _find_accepted(self, job: str, origin: Origin) -> Status | None:
        """Return the job that was accepted from this same file before a crash, or None.

        Raises NameTaken if the name belongs to another job.
        """
        folders = (self._spool.done / job, self._spool.run / job)
        for place, file in (*((each, each / JOB) for each in folders), (self._spool.queued(job),) * 2):
            if not os.path.lexists(place):
                continue
            if _read_origin(file) != origin:
                raise NameTaken(f"a job named {job!r} exists already")
            return self._spool.look_up(job)
        return None

    def _read(self, name: str) -> tuple[bytes, Origin]:
        """Return the content of a finished file, and the file's identity."""
        fd = _open(self.path / name)
        try:
            before = os.fstat(fd)
            self._check_kind(before)
            has_no_writer = _has_no_writer(fd)
            raw = self._read_all(fd)
            after = os.fstat(fd)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise _Unfinished
            if not has_no_writer and self._is_recent(after.st_mtime) and not _is_valid(raw):
                raise _Unfinished
            if not raw and self._is_recent(after.st_mtime):
                raise _Unfinished
            return raw, Origin(before.st_ino, before.st_mtime_ns, before.st_size)
        finally:
            os.close(fd)

    def _check_kind(self, file: os.stat_result) -> None:
        if not stat.S_ISREG(file.st_mode):
            raise NotAFile("only regular files are taken: no links, folders, pipes, sockets or devices")
        if file.st_nlink > 1:
            # A writer that publishes the file by link and unlink gives it two names for a moment only.
            if self._is_recent(file.st_ctime):
                raise _Unfinished
            raise HardLinked("the file has another name elsewhere: copy it instead of linking it")
        if file.st_size > self._max_bytes:
            raise TooLarge(f"the file has {file.st_size} bytes, and {self._max_bytes} are allowed")

    def _read_all(self, fd: int) -> bytes:
        chunks, size = [], 0
        while chunk := os.read(fd, _CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLarge(f"the file has more than the {self._max_bytes} bytes that are allowed")
        return b"".join(chunks)

    def _is_recent(self, timestamp: float) -> bool:
        return time.time() - timestamp < self._settle


def _job_name(name: str) -> str:
    if not name.endswith(_SUFFIX):
        raise UnsafeName("a job's file is named <name>.json")
    return check_name(name.removesuffix(_SUFFIX))


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


def _has_no_writer(fd: int) -> bool:
    """Return True if no process has the file open for writing, False if the kernel can't tell.

    Raises _Unfinished if a process has it open for writing. A granted lease is released at once. If a writer
    opens the file meanwhile, the kernel sends SIGURG, which is ignored unless a handler is set.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise _Unfinished from None
        return False  # another user's file, or a file system without leases
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def _read_origin(path: Path) -> Origin | None:
    """Return the `origin` of an accepted descriptor: the dropped file that it was copied from.

    A descriptor that its program has damaged has none. Raises OSError where the disk fails.
    """
    try:
        return Descriptor.from_json(read_untrusted(path, LARGEST_DESCRIPTOR)).origin
    except (FileNotFoundError, UntrustedFile, InvalidDescriptor):
        return None


def _is_valid(raw: bytes) -> bool:
    """Return whether the bytes are a valid descriptor, so that nothing can be missing at the end."""
    try:
        Descriptor.from_client(raw)
    except InvalidDescriptor:
        return False
    return True
