"""The removal of files and folders that others may change meanwhile: by descriptor, never by a longer path.

To remove a folder:

1. Open it without following links. From then on each step names one entry of an open folder, so whatever is
   put in place of an entry, a link is unlinked and never followed.
2. Unlink each entry. An entry that is a folder is opened in the same way. Unlink its files, and move its
   folders up into the first folder, under new names. Remove the folder, which is empty now.
3. Repeat this with what was moved up, until the first folder is empty. Then remove it.

So two descriptors are open at a time, however deep the tree is. `shutil.rmtree` was tried before: it is as
safe, but needs a descriptor and a stack frame for each level, and a deep tree ends it.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}
_NO_FOLDER = {errno.ENOTDIR, errno.ELOOP}
_PATIENCE = 60.0
"""Seconds after which a removal gives up: somebody may fill the folder while it is emptied."""


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content; no error if it is gone.

    The folder that path is in must be the engine's own. Raises OSError for what can't be removed.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        top = _unlink(path.name, parent)
        if top is None:
            return
        try:
            _empty(top, time.monotonic() + _PATIENCE)
        finally:
            os.close(top)
        os.rmdir(path.name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def remove_tree(path: str | os.PathLike[str]) -> bool:
    """Remove as `remove` does; return False, and raise nothing, if something of it is left.

    Blocks on the disk, for seconds where there are a million files.
    """
    try:
        remove(Path(path))
    except OSError:
        return False
    return True


def _empty(top: int, deadline: float) -> None:
    """Remove everything in an open folder."""
    while names := _names(top):
        for name in names:
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "the folder is filled faster than it can be emptied")
            folder = _unlink(name, top)
            if folder is None:
                continue
            try:
                _flatten(folder, top)
            finally:
                os.close(folder)
            with suppress(NotADirectoryError):  # it was exchanged meanwhile
                _remove_folder(name, top)


def _flatten(folder: int, top: int) -> None:
    """Remove the files of an open folder, and move its folders up to the top, under new names."""
    for name in _names(folder):
        inner = _unlink(name, folder)
        if inner is not None:
            os.close(inner)
            with suppress(FileNotFoundError):
                os.rename(name, os.urandom(8).hex(), src_dir_fd=folder, dst_dir_fd=top)


def _unlink(name: str, parent: int) -> int | None:
    """Remove one entry of an open folder; return a descriptor of it if it is a folder that is not empty."""
    while True:
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError as error:  # EISDIR, and EPERM on some file systems: it is a folder
            if error.errno not in {errno.EISDIR, errno.EPERM}:
                raise
            refused = error
        else:
            return None
        try:
            return None if _remove_folder(name, parent) else _open_folder(name, parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            if refused.errno == errno.EPERM:
                raise refused from None
            # It was a folder, and is none any more: it was exchanged meanwhile.


def _remove_folder(name: str, parent: int) -> bool:
    """Remove a folder if it is empty; return whether it was."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        return False
    return True


def _open_folder(name: str, parent: int) -> int:
    """Open a folder, whatever its mode is, if the engine owns it; raise OSError if it is a mount point."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        folder = os.fstat(handle)
        if folder.st_dev != os.fstat(parent).st_dev:
            raise OSError(errno.EBUSY, "another file system is mounted there", name)
        itself = Path(f"/proc/self/fd/{handle}")
        if folder.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            with suppress(PermissionError):
                itself.chmod(stat.S_IRWXU)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]
