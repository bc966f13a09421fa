"""Writing so that it survives a power cut: the file first, then the folder that names it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

_REMEMBERED = 100
"""Failed syncs of a folder that those who wait for them may still ask about."""


def write(path: str | Path, content: bytes, *, mode: int = 0o640) -> None:
    """Write a new file and bring its bytes to the disk; its name is durable only after sync_folder.

    Raises FileExistsError if the file is there, or a link, wherever it leads. A file that could not
    be written whole is removed.
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
    """Files that are made one after the other, and brought to the disk together: that costs less.

    They are closed when it is left, whatever happens.
    """

    def __init__(self) -> None:
        self._open: list[int] = []

    def make(self, path: str | Path, content: bytes | Path) -> None:
        """Make a new file of some content, or a second name of the file that has it.

        Raises FileExistsError if the name is in use. If the file that has the content is a link, that is
        not followed: OSError.
        """
        if isinstance(content, Path):
            os.link(content, path, follow_symlinks=False)
            self._open.append(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        else:
            self._open.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
            write_all(self._open[-1], content)

    def sync(self) -> None:
        """Bring all of them to the disk; their names are durable only after sync_folder."""
        for file in self._open:
            os.fsync(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open:
            os.close(file)


def write_all(fd: int, content: bytes) -> None:
    """Write every byte, however many calls it takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: str | Path) -> None:
    """Make the folder's entries durable: every link, rename and unlink in it that has returned."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class SharedSync:
    """The fsync of one folder, shared by all threads that need one at the same time (group commit)."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = folder
        self._turn = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._failed: dict[int, OSError] = {}
        """The newest syncs that failed, by their number."""

    def __call__(self) -> None:
        """Return when an fsync has succeeded that began after this call: what was made before is durable.

        Raises OSError if that fsync failed, as it does for everybody else who waited for it.
        """
        with self._turn:
            mine = self._begun + 1  # one that is under way may have passed the caller's entry by
            while self._begun > self._ended and self._ended < mine:
                self._turn.wait()
            leads = self._ended < mine
            if leads:
                self._begun = mine
        if leads:
            self._sync(mine)
        if error := self._failed.get(mine):
            raise OSError(error.errno, error.strerror)

    def _sync(self, number: int) -> None:
        try:
            sync_folder(self._folder)
        except OSError as error:
            self._failed = {**dict(list(self._failed.items())[-_REMEMBERED:]), number: error}
        finally:
            with self._turn:
                self._ended = number
                self._turn.notify_all()
