"""The publication of an outcome: run/<id> becomes done/<id>, whatever its program has made of the folder.

The usual way, for a folder that is as it should be:

1. Open run/<id>, which must be a folder. Remove what is neither a file nor a folder in it, and a log with a
   second name, so that no reader of done/ meets a fifo or a file of elsewhere. Link the descriptor again if
   job.json is another file.
2. Write and fsync result.json and status.json, then fsync the folder.
3. Rename run/<id> to done/<id>: the commit.

Where one of these steps fails for a reason that no retry mends (the folder was removed, replaced by a link,
or has a folder status.json), the outcome goes another way:

1. Make a new folder in tmp/, with the descriptor from queue/, those logs that are files, and the outcome.
2. Rename it to done/<id>: the commit.
3. Move what stands at run/<id> to tmp/, and remove it in a thread of its own. After a crash before this step
   the next engine finds done/<id>, and does it (Owner.mend).

Nothing here follows a link: everything is done by the open folder. No process of the program is alive; what
another program of the same user does to done/ and tmp/ meanwhile is beyond it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from treadle_spool.folder import (
    ATTEMPT,
    ATTEMPTS,
    INTERIM,
    JOB,
    OUTPUT,
    RESULT,
    STATUS,
    STDERR,
    STDOUT,
    write_synced,
)
from treadle_spool.removal import remove_tree
from treadle_spool.status import Status
from treadle_spool.untrusted import (
    FOLDER_FLAGS,
    UntrustedFile,
    is_folder,
    is_misplaced,
    open_folder,
    open_regular,
)

if TYPE_CHECKING:
    from treadle_spool.spool import Spool

_OUTPUTS = frozenset({INTERIM, STDOUT, STDERR})
"""The files of which a second name is of the program's making: they would show a file of elsewhere."""
_MOST_STRANGE = 100
"""Entries that are removed from a folder; one with more of them is discarded, in a thread of its own."""
_FILES = frozenset({JOB, ATTEMPT, STATUS, RESULT}) | _OUTPUTS


class Publisher:
    """Publishes the outcomes of claimed jobs, for the Owner. Threads may use it, each for other jobs."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._queue, self._run, self._done = map(str, (spool.queue, spool.run, spool.done))

    def publish(self, status: Status, result: bytes | Path | None) -> OSError | None:
        """Move the job to done/, unless an earlier call has; return the error, after which to call again.

        UntrustedFile: the file that is to be the result is none, so another outcome has to be published.
        """
        folder, done = f"{self._run}/{status.id}", f"{self._done}/{status.id}"
        outcome = {} if result is None else {RESULT: result}
        contents: dict[str, bytes | Path] = {**outcome, STATUS: status.to_json()}
        try:
            self._complete(folder, status.id, contents)
            os.rename(folder, done)
        except OSError as error:
            if os.path.exists(f"{done}/{STATUS}"):  # the first outcome counts
                self.discard(folder)
                return None
            return self._publish_anew(folder, status.id, contents) if is_misplaced(error) else error
        return None

    def discard(self, path: str) -> None:
        """Move whatever stands at a path to tmp/, and remove it in a thread: that may take a while."""
        trash = str(self._spool.new_in_tmp())
        with suppress(OSError):
            permit(path)  # to move a folder changes its `..`
            os.rename(path, trash)
            threading.Thread(target=remove_tree, args=(trash,), name="discard", daemon=True).start()

    def link_descriptor(self, name: str, folder: int) -> None:
        """Make job.json of an open folder the job's file in queue/, if there is that file."""
        with suppress(FileNotFoundError):
            os.link(f"{self._queue}/{name}.json", JOB, dst_dir_fd=folder, follow_symlinks=False)

    def _complete(self, folder: str, name: str, contents: Mapping[str, bytes | Path]) -> None:
        """Write the outcome into the job's folder, durably."""
        try:
            fd = os.open(folder, FOLDER_FLAGS)
        except PermissionError:
            permit(folder)
            fd = os.open(folder, FOLDER_FLAGS)
        try:
            self._clear(fd, name)
            if RESULT not in contents:
                with suppress(FileNotFoundError):  # the program may have made one
                    os.unlink(RESULT, dir_fd=fd)
            write_synced(fd, contents)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _clear(self, folder: int, name: str) -> None:
        """Remove the entries that are neither files nor folders, and see to job.json."""
        job: int | None = None
        strange = 0
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name in _FILES:
                        raise UntrustedFile(entry.name, "is a folder")
                elif not entry.is_file(follow_symlinks=False) or (
                    entry.name in _OUTPUTS and entry.stat(follow_symlinks=False).st_nlink != 1
                ):
                    os.unlink(entry.name, dir_fd=folder)
                    strange += 1
                    if strange > _MOST_STRANGE:
                        raise UntrustedFile(entry.name, "is one of many that are no files")
                elif entry.name == JOB:
                    job = entry.inode()
        try:
            accepted = os.lstat(f"{self._queue}/{name}.json").st_ino
        except FileNotFoundError:
            return
        if job != accepted:
            with suppress(FileNotFoundError):
                os.unlink(JOB, dir_fd=folder)
            self.link_descriptor(name, folder)

    def _publish_anew(self, folder: str, name: str, contents: Mapping[str, bytes | Path]) -> OSError | None:
        """Publish the outcome in a new folder, and discard the job's own."""
        new, done = str(self._spool.new_in_tmp()), f"{self._done}/{name}"
        try:
            os.mkdir(new, mode=0o750)
            fd = os.open(new, FOLDER_FLAGS)
            try:
                self.link_descriptor(name, fd)
                _save(folder, fd)
                write_synced(fd, contents)
                os.fsync(fd)
            finally:
                os.close(fd)
            if os.path.lexists(done) and not is_folder(done):
                self.discard(done)
            os.rename(new, done)
        except OSError as error:
            self.discard(new)
            return error
        self.discard(folder)
        return None


def permit(path: str) -> None:
    """Give this user all rights to a folder, whose program may have taken them; raises OSError."""
    if is_folder(path):
        os.chmod(path, 0o700)


def _save(folder: str, new: int) -> None:
    """Link the logs into the new folder, and move the folders that are part of an outcome, where they are."""
    try:
        old = open_folder(folder)
    except OSError:
        return
    try:
        for name in (ATTEMPT, *_OUTPUTS):
            with suppress(OSError):
                os.close(open_regular(name, dir_fd=old, alone=True))
                os.link(name, name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
        for name in (ATTEMPTS, OUTPUT):
            with suppress(OSError):
                os.close(os.open(name, FOLDER_FLAGS, dir_fd=old))
                os.rename(name, name, src_dir_fd=old, dst_dir_fd=new)
    finally:
        os.close(old)
