"""Opening what a program could have touched: no link is followed, no open blocks, regular files only."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class UntrustedFile(OSError):
    """Something else than a regular file is in the place of one."""


def open_untrusted(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file and return its descriptor; never blocks.

    Raises UntrustedFile for a link, a folder, a pipe or a device, and OSError as `os.open` does.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR}:
            raise UntrustedFile(error.errno, "not a regular file", str(path)) from None
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise UntrustedFile(errno.EINVAL, "not a regular file", str(path))
