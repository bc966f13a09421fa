"""The folders of a supervisor's programs, the working folder and /tmp: each program finds them empty."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_LONGEST = 50
"""Bytes of a path for TMPDIR. A socket's has 107 (unix(7)), and multiprocessing adds two names of its own."""


class ProgramFolders:
    """The working folder and the /tmp of one supervisor's programs. They are made with it; raises OSError."""

    def __init__(self, parent: str, pid: int) -> None:
        self.work = Folder(parent, pid, "work", 0o700)
        self.tmp = Folder(parent, pid, "tmp", 0o1777)

    def tmp_path(self, *, mounted: bool) -> str:
        """Return the path of /tmp's folder: to be mounted, or a short one for TMPDIR.

        The short one leads through the supervisor, which is closed to programs that have mounts.
        """
        return self.tmp.path if mounted else self.tmp.short_path()

    def clear(self) -> None:
        """Make both empty. Raises OSError."""
        self.work.clear()
        self.tmp.clear()

    def remove(self) -> None:
        """Remove both as far as possible."""
        self.work.remove()
        self.tmp.remove()


class Folder:
    """A folder that belongs to one process and lives as long as that process.

    A program's files in it are removed when the program has ended. After a crash the engine removes the
    folder, because its name holds the pid of a dead process.
    """

    def __init__(self, parent: str, pid: int, name: str, mode: int) -> None:
        """Make the folder below parent, with the owner's pid in its name. Raises OSError."""
        self._prefix = os.path.join(parent, f"{pid}-{name}")
        self._mode, self._pid = mode, pid
        self._fd: int | None = None
        self._number = 0
        self.path = self._prefix
        self.remove()  # of an earlier process that had this pid
        self._make()

    def clear(self) -> None:
        """Make the folder empty, with its original attributes. Raises OSError if it can't be made anew.

        If something in it can't be removed, the next folder has another name: a program never finds the files
        of another one.
        """
        try:
            if self._attributes() == self._original and not os.listdir(self.path):
                return
        except OSError:
            pass  # the program has removed the folder, or has made it unreadable
        self.remove()
        self._make()

    def keep(self, place: str) -> None:
        """Give the folder to somebody under another path, if there is nothing, and begin a new one."""
        with contextlib.suppress(OSError):
            os.rename(self.path, place)
            self._make()
            kept = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.fchmod(kept, 0o700)
            os.close(kept)

    def remove(self) -> None:
        """Remove the folder and its content as far as possible; most programs leave none."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            with contextlib.suppress(OSError):
                remove_tree(self.path)

    def short_path(self) -> str:
        """Return a path of the folder by which a socket in it has a name that is short enough.

        It is its own path, or one through the process that owns it: for others of its user, while that lives.
        Called by the owner.
        """
        if len(self.path) <= _LONGEST:
            return self.path
        if self._fd is None:
            self._fd = os.open(self.path, os.O_PATH | os.O_CLOEXEC)
        return f"/proc/{self._pid}/fd/{self._fd}"

    def _make(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        while True:
            try:
                os.makedirs(self.path, mode=0o700)
                os.chmod(self.path, self._mode)  # whatever the umask is
                break
            except FileExistsError:
                self._number += 1
                self.path = f"{self._prefix}{self._number}"
        self._original = self._attributes()

    def _attributes(self) -> tuple[int, ...]:
        status = os.stat(self.path)
        return status.st_ino, status.st_mode, status.st_uid, status.st_gid


def remove_tree(path: str) -> None:
    """Remove a folder of any depth, whatever modes are in it. Raises OSError if something can't be removed.

    No link is followed. Folders are moved up before they are looked into, so that neither the depth of calls,
    nor the number of open folders, nor the length of a path grows; shutil.rmtree() fails at a thousand
    levels. No other process may use the folder.
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        number = 0
        while folders := _unlink_files(top):
            for name in folders:
                folder = os.open(
                    name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top
                )
                try:
                    for each in _unlink_files(folder):
                        number = _move_up(folder, each, top, number)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _unlink_files(folder: int) -> list[str]:
    """Unlink what is no folder in an open folder; return the folders, which are accessible then."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.name, 0o700, dir_fd=folder)
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _move_up(folder: int, name: str, top: int, number: int) -> int:
    """Move a folder to the top, under the next number that is no name there; return the number after it."""
    while True:
        try:
            os.rename(name, f".{number}", src_dir_fd=folder, dst_dir_fd=top)
            return number + 1
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        number += 1
