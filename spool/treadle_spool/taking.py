"""Taking entries out of drop/, while others may rename files onto their names.

To take an entry away: rename it inside drop/ to a hidden name, `.taking-<number>-<name>`. What has that name
now is what somebody may have put in place of the file that was read. So look at it: if it is another file, or
has a writer, put it back without overwriting. If its name is in use again, it stays under the hidden name,
and is an entry of its own from then on. Otherwise the caller unlinks it, or moves it to bad/.

A rename inside a watched folder delays its watcher by nothing; a rename out of it by half a second.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from treadle_spool.drop_names import dropped_name, taken_name
from treadle_spool.dropped import OpenFile, Unfinished
from treadle_spool.errors import SpoolError
from treadle_spool.left import Left, origin_of
from treadle_spool.quarantine import UNMOVABLE
from treadle_spool.renaming import rename_new


class Replaced(Exception):
    """Another file has taken the place of the one that was read; it is under the name `entry`."""

    def __init__(self, entry: str) -> None:
        self.entry = entry


class Taking:
    """The way out of drop/, and the memory of what can't be moved; used in any thread."""

    def __init__(self, drop: Path, root: Path) -> None:
        self._drop = drop
        self._left = Left(root, self._present())
        self._in_hand: set[str] = set()
        """The hidden names of what is being taken away: no entries of their own, whoever lists the folder."""

    def take_away(self, entry: str, file: os.stat_result, digest: bytes | None = None) -> Path:
        """Rename the entry to a hidden name, and return its path there.

        A file whose time alone has changed is taken if it has this digest, as when it was read: some programs
        set the time of what they copied when they have closed it (rsync --inplace, for instance).

        Raises Replaced if it is not that file any more or has a writer, FileNotFoundError if it is gone, and
        OSError if it can't be renamed.
        """
        hidden = self._drop / taken_name(entry)
        self._in_hand.add(hidden.name)
        try:
            (self._drop / entry).rename(hidden)
            if not _is_unchanged(hidden, file, digest):
                raise Replaced(self.put_back(hidden, entry))
        except BaseException:
            self._in_hand.discard(hidden.name)
            raise
        return hidden

    @contextmanager
    def letting_go(self, *hidden: Path) -> Iterator[None]:
        """At the end of the block, have what is left under these hidden names be entries again."""
        try:
            yield
        finally:
            self._in_hand.difference_update(path.name for path in hidden)

    def has_in_hand(self, entry: str) -> bool:
        """Return whether an entry is being taken away by this engine just now."""
        return entry in self._in_hand

    def put_back(self, hidden: Path, entry: str) -> str:
        """Give a taken file its name again, without overwriting; return the name that it has now."""
        try:
            rename_new(str(hidden), str(self._drop / entry))
        except OSError:  # the name is in use again: the file is an entry of its own from now on
            return hidden.name
        return entry

    def reason(self, file: os.stat_result) -> str | None:
        """Return why an entry could not be moved away when it was dealt with, or None."""
        return self._left.reason(file)

    def leave(self, entry: str, file: os.stat_result, error: OSError) -> str:
        """Remember, durably, that an entry was dealt with and can't be moved; return why.

        Raises the error if another try to move it may succeed.
        """
        if error.errno not in UNMOVABLE:
            raise error
        stays = error.strerror or str(error)
        self._left.add(dropped_name(entry), origin_of(file), stays)
        return stays

    def _present(self) -> Iterator[os.stat_result]:
        with suppress(OSError), os.scandir(self._drop) as entries:  # the folder may be missing just now
            for entry in entries:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False)


def _is_unchanged(path: Path, file: os.stat_result, digest: bytes | None) -> bool:
    """Return whether the path is that file, not written since, and open for writing in no process."""
    try:
        now = path.lstat()
        if _identity(now) != _identity(file):
            return False
        if stat.S_ISREG(file.st_mode):
            with OpenFile(path) as opened:
                opened.has_no_writer()
                return now.st_mtime_ns == file.st_mtime_ns or opened.digest() == digest
    except Unfinished:
        return False
    except (SpoolError, FileNotFoundError):
        return True  # it can't be opened, as when it was looked at
    return now.st_mtime_ns == file.st_mtime_ns


def _identity(file: os.stat_result) -> tuple[int, int, int]:
    return file.st_dev, file.st_ino, file.st_size
