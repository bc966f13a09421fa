"""Durable writes: files and names that survive a power cut, with as few fsyncs as possible.

fsync of a file makes its bytes durable, fsync of the folder makes its name durable. The order is: file, then
folder. A name proves nothing about the bytes: after a power cut the file behind the name can be empty.

`NewFiles` writes several files first and syncs them afterwards. To write and sync one file after the other
was tried before; it costs more.

`SharedSync` is a group commit for one folder. Its fsyncs are numbered, and at most one runs at a time:

1. A caller takes the number of the next fsync. A running fsync may have passed the caller's entry already.
2. The caller waits until no fsync is running, or until the fsync of its number has ended.
3. If the fsync of its number has not begun, the caller is the leader: it runs the fsync for that number.
4. An error of the fsync is raised for every caller of its number, and for no other caller.

Invariant: a call returns only after an fsync that began after the call. There is no timer: a caller that
comes alone does not wait for others.

After a failed fsync the kernel may have dropped the bytes, and a second fsync can succeed without writing
them. So `write` removes a file whose fsync failed, and a retry writes a new file.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from treadle_spool.untrusted import open_regular

_MAX_ERRORS = 100
"""Failed fsyncs of a folder that a SharedSync keeps, for callers that have not seen their error yet."""


def write(path: str | Path, content: bytes, *, mode: int = 0o640) -> None:
    """Write a new file and sync its bytes; its name is durable only after sync_folder.

    Raises FileExistsError if a file or a link with this name exists, even a dangling link. A file that could
    not be written completely is removed.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


class NewFiles:
    """A batch of new files: written one by one, then synced together, which costs less.

    The batch is a context manager. It closes all file descriptors at its exit, also after an error.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []

    def make(self, path: str | Path, content: bytes | Path, *, dir_fd: int | None = None) -> None:
        """Make a new file with this content, or a hard link to the file that has the content.

        path may be the name of an entry in an open folder, dir_fd. Raises FileExistsError if the name is in
        use. Raises UntrustedFile if the file that is to have the content is not a regular file: no link is
        followed, and nothing blocks.
        """
        if isinstance(content, Path):
            os.link(content, path, dst_dir_fd=dir_fd, follow_symlinks=False)
            self._fds.append(open_regular(path, dir_fd=dir_fd))
        else:
            new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fds.append(os.open(path, new, 0o640, dir_fd=dir_fd))
            write_all(self._fds[-1], content)

    def sync(self) -> None:
        """Sync the bytes of all files; their names are durable only after sync_folder."""
        for fd in self._fds:
            os.fsync(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Write every byte, with as many system calls as it takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: str | Path) -> None:
    """Make the entries of a folder durable: every link, rename and unlink in it that has returned."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class SharedSync:
    """The fsync of one folder, shared by all threads that need it at the same time (group commit)."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = folder
        self._condition = threading.Condition()
        self._last_begun = 0
        self._last_ended = 0
        self._errors: dict[int, OSError] = {}
        """The errors of the newest failed fsyncs, by the number of the fsync."""

    def __call__(self) -> None:
        """Return after an fsync that began after this call: every entry made before the call is durable.

        Raises OSError if that fsync failed; all other callers that waited for it get the same error.
        """
        with self._condition:
            number = self._last_begun + 1  # a running fsync may have passed the caller's entry already
            while self._last_begun > self._last_ended and self._last_ended < number:
                self._condition.wait()
            is_leader = self._last_ended < number
            if is_leader:
                self._last_begun = number
        if is_leader:
            self._sync(number)
        if error := self._errors.get(number):
            raise OSError(error.errno, error.strerror)

    def _sync(self, number: int) -> None:
        try:
            sync_folder(self._folder)
        except OSError as error:
            self._errors = {**dict(list(self._errors.items())[-_MAX_ERRORS:]), number: error}
        finally:
            with self._condition:
                self._last_ended = number
                self._condition.notify_all()
