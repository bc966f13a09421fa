"""Removing trees that a program has made: no links are followed, and no depth is too deep.

`shutil.rmtree` descends by recursion, so a thousand folders, one in the other, end it with a RecursionError;
and it stops at a folder without permissions. Here a folder that is found inside another one is renamed to
stand beside the first one, and is removed in its turn. So there is no recursion, two descriptors are open at
a time, and no path is long. A tree that was half removed is a number of folders in tmp/, which the next sweep
removes.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_TRIES = 3
"""How often a folder is listed that is not empty afterwards: some file systems skip entries meanwhile."""


def remove_tree(path: str | os.PathLike[str]) -> bool:
    """Remove a file, or a folder with all that is in it; return whether nothing is left. Raises no OSError.

    Blocks on the disk, for seconds where there are a million files.
    """
    parent, name = os.path.split(os.fspath(path))
    try:
        parent_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _Removal(parent_fd, name).run()
    finally:
        os.close(parent_fd)


class _Removal:
    """The removal of one tree; it lives for one call."""

    def __init__(self, parent: int, name: str) -> None:
        self._parent = parent
        self._name = name
        self._waiting = [name]
        """The names of the folders that are still to be removed; all of them are beside the first one."""
        self._number = 0

    def run(self) -> bool:
        complete = True
        while self._waiting:
            complete = self._remove(self._waiting.pop()) and complete
        return complete

    def _remove(self, name: str) -> bool:
        for _ in range(_TRIES):
            self._empty(name)
            for remove in (os.unlink, os.rmdir):
                with suppress(OSError):
                    remove(name, dir_fd=self._parent)
            try:
                os.lstat(name, dir_fd=self._parent)
            except FileNotFoundError:
                return True
            except OSError:
                break
        return False

    def _empty(self, name: str) -> None:
        """Remove the files of a folder, and move its folders out of it; anything else is left alone."""
        try:
            fd = self._open(name)
        except OSError:
            return
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    with suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            self._take_out(fd, entry.name)
                        else:
                            os.unlink(entry.name, dir_fd=fd)
        except OSError:
            pass  # the disk fails: what is left is reported by the caller
        finally:
            os.close(fd)

    def _open(self, name: str) -> int:
        """Open a folder, and permit this user to change it; its mode is of its program's making."""
        try:
            fd = os.open(name, _FOLDER, dir_fd=self._parent)
        except PermissionError:
            self._permit(self._parent, name)
            fd = os.open(name, _FOLDER, dir_fd=self._parent)
        with suppress(OSError):
            os.fchmod(fd, 0o700)
        return fd

    def _take_out(self, fd: int, name: str) -> None:
        """Give an inner folder a name beside the first one."""
        while True:
            self._number += 1
            beside = f"{self._name}-{self._number}"
            try:
                os.rename(name, beside, src_dir_fd=fd, dst_dir_fd=self._parent)
            except PermissionError:  # to move a folder changes its `..`
                self._permit(fd, name)
                os.rename(name, beside, src_dir_fd=fd, dst_dir_fd=self._parent)
            except OSError as error:
                if error.errno in _TAKEN:  # by what an earlier removal has left
                    continue
                raise
            self._waiting.append(beside)
            return

    @staticmethod
    def _permit(folder: int, name: str) -> None:
        os.chmod(name, 0o700, dir_fd=folder)
