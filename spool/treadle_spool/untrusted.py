"""Files that a program could have touched, opened so that nothing in their place harms the reader.

A program may put anything in the place of a file of its job's folder, and in the place of the folder. Who
opens such a file by its plain name can wait for ever (a fifo), read for ever (a link to /dev/zero), and show
or overwrite what is outside of the spool (a link to any file). So `open_untrusted`:

1. Opens the file's folder, which must be a folder and no link to one (O_DIRECTORY | O_NOFOLLOW).
2. Opens the file in it without following a link and without blocking (O_NOFOLLOW | O_NONBLOCK).
3. Looks at the open file: only a regular file is returned. One that is opened to be written, or of which
   the caller knows that it has one name, must have no other name, which might be outside of the spool.

Everything else raises UntrustedFile. FileNotFoundError means, as ever, that there is no such file. Folders
above the job's own are the spool's: `open_regular` is enough for the files that are in those.

Dropped: openat2(2) with RESOLVE_BENEATH, which is one system call in place of two. Python has no function for
it, and older containers forbid it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

AnyPath = str | os.PathLike[str]

LARGEST_RECORD = 64 * 1024 * 1024
"""Bytes of a file that is read as a whole, and that the engine or a runtime writes: attempt.json, say."""
LARGEST_DESCRIPTOR = 4 * 1024 * 1024 * 1024
"""Bytes of a job's descriptor: more than any `max_body` that a host can serve."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags of open(2) for a folder that is listed or synced, and no link to one."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITES = os.O_WRONLY | os.O_RDWR
_CHUNK = 64 * 1024
_REFUSALS = {
    errno.ELOOP: "is a symbolic link",
    errno.ENXIO: "is not a regular file",
    errno.EISDIR: "is a folder",
    errno.ENOTDIR: "is not in a folder",
    errno.EACCES: "may not be opened by this user",
    errno.EPERM: "may not be opened by this user",
}
"""What is wrong with an entry, by the errno of its open. Other errors are those of the host."""
_MISPLACED = {*_REFUSALS, errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.EFBIG}


class UntrustedFile(OSError):
    """Something else stands in the place of a file, or the file is too large to be what it should be.

    An OSError that no retry mends: what stood in the file is lost.
    """

    def __init__(self, path: AnyPath, what: str, number: int = errno.EINVAL) -> None:
        super().__init__(number, f"{os.path.basename(path)} {what}")


def is_misplaced(error: OSError) -> bool:
    """Return whether an error tells of a wrong entry in a folder, and not of a disk or host in trouble."""
    return error.errno in _MISPLACED


def open_untrusted(path: AnyPath, flags: int = os.O_RDONLY, mode: int = 0o640, *, alone: bool = False) -> int:
    """Open a regular file of a job's folder, and return its descriptor, which the caller closes.

    flags are those of open(2), such as O_WRONLY | O_CREAT | O_APPEND. With alone, the file must have no other
    name; so must one that is to be written. Never blocks. Raises FileNotFoundError, UntrustedFile, or another
    OSError where the host is in trouble.
    """
    folder, name = os.path.split(os.fspath(path))
    folder_fd = open_folder(folder)
    try:
        return open_regular(name, flags, mode, dir_fd=folder_fd, alone=alone)
    finally:
        os.close(folder_fd)


def open_folder(path: AnyPath) -> int:
    """Open a folder as a place (O_PATH), for `dir_fd`; raises as `open_untrusted` does."""
    try:
        return os.open(path, _FOLDER)
    except OSError as error:
        raise _refusal(path, error) from None


def open_regular(
    path: AnyPath,
    flags: int = os.O_RDONLY,
    mode: int = 0o640,
    *,
    dir_fd: int | None = None,
    alone: bool = False,
) -> int:
    """Open a regular file as `open_untrusted` does, in a folder that is trusted, or open already."""
    try:
        fd = os.open(path, _READ | flags, mode, dir_fd=dir_fd)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedFile(path, "is not a regular file")
        if (alone or flags & _WRITES) and status.st_nlink != 1:
            raise UntrustedFile(path, "has a second hard link")
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_untrusted(path: AnyPath, limit: int = LARGEST_RECORD) -> bytes:
    """Return the content of a file of a job's folder; UntrustedFile if it has more than limit bytes."""
    return _read_and_close(open_untrusted(path), path, limit)


def read_regular(path: AnyPath, limit: int = LARGEST_RECORD) -> bytes:
    """Return the content of a file in a folder that is trusted; otherwise as `read_untrusted`."""
    return _read_and_close(open_regular(path), path, limit)


def size_untrusted(path: AnyPath, *, twin: str = "") -> int:
    """Return the size of a regular file, which is not opened; raises as `open_untrusted` does.

    It may have no other name, except the name twin in the same folder.
    """
    folder, name = os.path.split(os.fspath(path))
    folder_fd = open_folder(folder)
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedFile(path, "is not a regular file")
        if status.st_nlink != 1 and not (status.st_nlink == 2 and _is_same(status, twin, folder_fd)):  # noqa: PLR2004  # itself and its twin
            raise UntrustedFile(path, "has a second hard link")
    finally:
        os.close(folder_fd)
    return status.st_size


def _is_same(status: os.stat_result, name: str, folder: int) -> bool:
    try:
        return os.path.samestat(status, os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def is_folder(path: AnyPath) -> bool:
    """Return whether a path is a folder, and no link to one."""
    with suppress(OSError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def _read_and_close(fd: int, path: AnyPath, limit: int) -> bytes:
    """Return the content of an open file, as a rule with one read, and close it."""
    chunks: list[bytes] = []
    try:
        while True:
            chunk = os.read(fd, _CHUNK)
            chunks.append(chunk)
            if len(chunk) < _CHUNK:
                return b"".join(chunks)
            if max(len(chunks) * _CHUNK, os.fstat(fd).st_size) > limit:
                raise UntrustedFile(path, f"has more than {limit} bytes", errno.EFBIG)
    finally:
        os.close(fd)


def _refusal(path: AnyPath, error: OSError) -> OSError:
    """Return the exception for an entry that could not be opened."""
    what = _REFUSALS.get(error.errno or 0)
    return error if what is None else UntrustedFile(path, what, error.errno or errno.EINVAL)
