"""Dropping a job's file, and watching what becomes of exactly this file.

A name says little: another job may have it, and bad/ may hold a file of this name from last year. So the file
is recognised by its inode, which the engine writes down as the job's `origin` and which a refused file keeps.

1. Write the file under a hidden name of its own, and rename it to <name>.json, without overwriting: the file
   of another submitter may wait there.
2. The job is ours if its `origin` is this file. A job of another origin has the name, so ours is refused.
3. A refusal is ours if its file has our inode. Where drop/ is on another file system the inode changes; then
   it is ours if it is new and our file has left drop/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from treadle.interface.errors import TreadleError
from treadle_spool import InvalidDescriptor, NameTaken, Origin, Spool
from treadle_spool.durable import sync_folder
from treadle_spool.folder import JOB, read_descriptor
from treadle_spool.quarantine import REASON_SUFFIX
from treadle_spool.renaming import rename_new


class _Refusal(msgspec.Struct):
    """The content of bad/<name>.reason.json."""

    name: str
    detail: str


class DroppedFile:
    """One dropped file, until a running engine has accepted or refused it."""

    def __init__(self, spool: Spool, name: str, content: bytes) -> None:
        """Drop the file durably; raise NameTaken if a file of this name waits in drop/, or OSError."""
        self._spool = spool
        self._name = name
        self._path = spool.drop / f"{name}.json"
        self._known = set(self._reasons())
        draft = spool.drop / f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                stat = os.fstat(file.fileno())
            self._origin = Origin(stat.st_ino, stat.st_mtime_ns, stat.st_size)
            rename_new(str(draft), str(self._path))
            sync_folder(spool.drop)
        except FileExistsError:
            raise NameTaken(f"a file {name}.json waits in drop/ already: choose another --name") from None
        finally:
            draft.unlink(missing_ok=True)

    def accepted(self) -> bool:
        """Return whether the file has become a job; raise TreadleError if it was refused."""
        places = (
            self._spool.queued(self._name),
            *(place / self._name / JOB for place in (self._spool.run, self._spool.done)),
        )
        for path in places:
            with suppress(OSError, InvalidDescriptor):
                if read_descriptor(str(path)).origin == self._origin:
                    return True
        for reason in set(self._reasons()) - self._known:
            with suppress(OSError, msgspec.DecodeError):
                refusal = msgspec.json.decode(reason.read_bytes(), type=_Refusal)
                if refusal.name == self._path.name and self._is_ours(reason):
                    raise TreadleError(f"the job was refused: {refusal.detail}")
        return False

    def gone(self) -> bool:
        """Return whether the file has left drop/, or is being taken."""
        with suppress(FileNotFoundError):
            return self._path.lstat().st_ino != self._origin.inode
        return True

    def _reasons(self) -> Iterator[Path]:
        """Yield the files with the reasons for refusals of files of this name."""
        with suppress(PermissionError):
            yield from self._spool.bad.glob(f"{self._name}.json*{REASON_SUFFIX}")

    def _is_ours(self, reason: Path) -> bool:
        """Return whether it was our file that was refused for this reason."""
        with suppress(FileNotFoundError):
            refused = reason.with_name(reason.name.removesuffix(REASON_SUFFIX)).lstat()
            if refused.st_dev == self._spool.drop.stat().st_dev:
                return refused.st_ino == self._origin.inode
        return self.gone()
