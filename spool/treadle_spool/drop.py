"""drop/: the hot folder for anyone. What lies there is untrusted, and perhaps not yet finished."""

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
from treadle_spool.names import check_name
from treadle_spool.spool import Spool
from treadle_spool.status import Status

_SUFFIX = ".json"
_UNFINISHED = (".tmp", ".part", ".swp", "~")
_CHUNK = 1024 * 1024

Check = Callable[[Descriptor], None]
"""Raises a SpoolError for a job that the engine does not want."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The file has become a job, and has gone."""

    status: Status


@dataclass(frozen=True, slots=True)
class Refused:
    """The file is in bad/ now."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The file is left where it is."""

    unfinished: bool
    """Whether it is worth another look soon: somebody may still be writing it."""


class _Unfinished(Exception):
    """Somebody is still writing the file."""


class DropFolder:
    """Takes dropped files into the queue. Only the engine that holds the spool's lock may do that."""

    def __init__(self, spool: Spool, *, max_bytes: int, settle: float = 2.0) -> None:
        self.path = spool.drop
        self._spool = spool
        self._max_bytes = max_bytes
        self._settle = settle

    def names(self) -> list[str]:
        """Return the names of everything in the folder."""
        return [entry.name for entry in os.scandir(self.path)]

    def take(self, name: str, check: Check) -> Taken | Refused | NotYet:
        """Accept the file as a job, refuse it into bad/, or leave it because it is not finished.

        The file is opened without following links, and copied rather than adopted. Raises OSError
        only for what is wrong with the disk, never for what is wrong with the file.
        """
        if name.startswith(".") or name.endswith(_UNFINISHED):
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
        text, origin = self._read(name)
        descriptor = Descriptor.from_client(text)
        check(descriptor)
        descriptor = msgspec.structs.replace(descriptor, created=None, origin=origin)
        try:
            status = self._earlier(job, origin) or self._spool.accept(descriptor, job)
        except NameTaken as error:
            raise NameTaken(f"{error}: choose another file name") from None
        (self.path / name).unlink(missing_ok=True)
        return status

    def _earlier(self, job: str, origin: Origin) -> Status | None:
        """Return the job that this very file has become already, before a crash kept it from going.

        Raises NameTaken if the name belongs to another job.
        """
        folders = (self._spool.done / job, self._spool.run / job)
        for place, file in (*((each, each / "job.json") for each in folders), (self._spool.queued(job),) * 2):
            if not os.path.lexists(place):
                continue
            if _origin(file) != origin:
                raise NameTaken(f"a job named {job!r} exists already")
            return self._spool.look_up(job)
        return None

    def _read(self, name: str) -> tuple[bytes, Origin]:
        """Return the content of a finished file, and which file it is."""
        fd = _open(self.path / name)
        try:
            before = os.fstat(fd)
            self._check_kind(before)
            sure = _no_writer(fd)
            text = self._read_all(fd)
            after = os.fstat(fd)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise _Unfinished
            if not sure and self._fresh(after.st_mtime) and not _complete(text):
                raise _Unfinished
            if not text and self._fresh(after.st_mtime):
                raise _Unfinished
            return text, Origin(before.st_ino, before.st_mtime_ns, before.st_size)
        finally:
            os.close(fd)

    def _check_kind(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile("only regular files are taken: no links, folders, pipes, sockets or devices")
        if found.st_nlink > 1:
            # A careful writer may just be publishing it by link and unlink; a stranger's file stays linked.
            if self._fresh(found.st_ctime):
                raise _Unfinished
            raise HardLinked("the file has another name elsewhere: copy it instead of linking it")
        if found.st_size > self._max_bytes:
            raise TooLarge(f"the file has {found.st_size} bytes, and {self._max_bytes} are allowed")

    def _read_all(self, fd: int) -> bytes:
        pieces, size = [], 0
        while piece := os.read(fd, _CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > self._max_bytes:
                raise TooLarge(f"the file has more than the {self._max_bytes} bytes that are allowed")
        return b"".join(pieces)

    def _fresh(self, moment: float) -> bool:
        return time.time() - moment < self._settle


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


def _no_writer(fd: int) -> bool:
    """Return whether the kernel is sure that nobody has the file open for writing.

    Raises _Unfinished if somebody has. A lease that is granted is given back at once; should a
    writer come in that moment, the kernel's notice is a signal that is ignored unless handled.
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


def _origin(path: Path) -> Origin | None:
    """Return which dropped file an accepted descriptor is the copy of."""
    try:
        return Descriptor.from_json(path.read_bytes()).origin
    except (OSError, InvalidDescriptor):
        return None


def _complete(text: bytes) -> bool:
    """Return whether the text is a whole JSON value, so that nothing can be missing."""
    try:
        Descriptor.from_client(text)
    except InvalidDescriptor:
        return False
    return True
