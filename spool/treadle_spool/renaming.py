"""A rename that never overwrites: renameat2 with RENAME_NOREPLACE, which Python's os module does not have."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}

Call = Callable[[int, bytes, int, bytes, int], int]


def rename_new(source: str, target: str) -> None:
    """Rename a file or folder to a name that is not in use; raise FileExistsError if it is.

    Where neither the kernel nor the file system has such a rename, a file is linked to the new name and
    unlinked from the old one. Raises OSError where that is not possible either.
    """
    call = _renameat2()
    if call is not None:
        if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), source, None, target)
    os.link(source, target, follow_symlinks=False)
    Path(source).unlink()


@cache
def _renameat2() -> Call | None:
    """Return the function of the C library, or None if that is too old to have it."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    call: Call = function
    return call
