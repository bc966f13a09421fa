"""Writing so that it survives a power cut: the file first, then the folder that names it."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int = 0o640) -> None:
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
        path.unlink(missing_ok=True)
        raise


def write_all(fd: int, content: bytes) -> None:
    """Write every byte, however many calls it takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync_file(path: Path) -> None:
    """Bring a file that somebody else wrote to the disk."""
    _sync(path, os.O_RDONLY | os.O_NOFOLLOW)


def sync_folder(path: Path) -> None:
    """Make the folder's entries durable: every link, rename and unlink in it that has returned."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
