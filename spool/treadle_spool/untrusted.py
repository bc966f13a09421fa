"""Opening files that a program could have touched: no links, never blocking, regular files, bounded."""

from __future__ import annotations

import errno
import os
import stat

_CHUNK = 64 * 1024


class UntrustedFile(OSError):
    """What has the name is not a regular file, or is larger than it may be."""


def open_untrusted(
    path: str | os.PathLike[str], flags: int = os.O_RDONLY, mode: int = 0o640, *, dir_fd: int | None = None
) -> int:
    """Open a regular file and return its descriptor; raise OSError for a link, and for anything else.

    `flags` are those of os.open, to write as well. It never blocks: a fifo is refused.
    """
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags | safe, mode, dir_fd=dir_fd)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise UntrustedFile(errno.EINVAL, "not a regular file", os.fspath(path))


def read_untrusted(path: str | os.PathLike[str], limit: int, *, dir_fd: int | None = None) -> bytes:
    """Return the content of a file of at most limit bytes; raise OSError as open_untrusted does."""
    fd = open_untrusted(path, dir_fd=dir_fd)
    try:
        size = os.fstat(fd).st_size
        content = bytearray()
        while size <= limit and (chunk := os.read(fd, max(size - len(content), _CHUNK))):
            content += chunk
            size = max(size, len(content))
    finally:
        os.close(fd)
    if size > limit:
        raise UntrustedFile(errno.EFBIG, f"more than the {limit} bytes that are allowed", os.fspath(path))
    return bytes(content)
