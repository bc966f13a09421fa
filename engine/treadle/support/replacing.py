"""Files that are written where a program may have touched everything: nothing in their place is followed.

1. The folder is opened as a folder, and not through a link. All names are relative to it from then on.
2. The content is written to a draft with a random name, which must be new (O_EXCL).
3. The draft is renamed over the name. So a reader sees the old file or the new one, each whole, and a link,
   a fifo or a file of another owner is replaced and never opened.
4. A folder has the name: a file can't be renamed over it. It is moved aside, to another random name beside
   the draft, whatever is in it, and goes when the whole tree is removed.

Nothing is synced: a power cut may leave the new name with an empty file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from treadle_spool.untrusted import FOLDER_FLAGS


def replace_file(folder: str | Path, name: str, content: bytes, *, mode: int = 0o640) -> None:
    """Write a file of a folder whole, whatever has its name now. Raises OSError.

    For what a runtime keeps of an attempt in `Attempt.folder`. A crash leaves the old content or the new
    one; a power cut may leave an empty file.
    """
    with opened_folder(folder) as fd:
        replace_in(fd, name, content, fd, mode)


@contextmanager
def opened_folder(path: str | Path, *, dir_fd: int | None = None) -> Iterator[int]:
    """Open a folder for names relative to it, and close it; a link in its place raises OSError."""
    fd = os.open(path, FOLDER_FLAGS, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def replace_in(folder: int, name: str, content: bytes, drafts: int, mode: int) -> None:
    """Write a file of an open folder whole; its draft is in the folder `drafts`. Raises OSError."""
    draft = _random(name)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=drafts)
    try:
        try:
            os.fchmod(fd, mode)  # whatever the umask is
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        try:
            os.rename(draft, name, src_dir_fd=drafts, dst_dir_fd=folder)
        except IsADirectoryError:
            move_aside(folder, name, drafts)
            os.rename(draft, name, src_dir_fd=drafts, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(draft, dir_fd=drafts)
        raise


def move_aside(folder: int, name: str, into: int) -> None:
    """Give what has a name in an open folder a random name in the folder `into`. Raises OSError."""
    os.rename(name, _random(name), src_dir_fd=folder, dst_dir_fd=into)


def _random(name: str) -> str:
    return f".{name}-{os.urandom(8).hex()}"
