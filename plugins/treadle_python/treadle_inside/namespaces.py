"""New namespaces for this process, and what it means if the host gives none.

| unshare(2) fails with | meaning | what follows |
| --- | --- | --- |
| ENOSPC, and a limit in /proc/sys/user is 0 | the host permits none | programs are contained without |
| ENOSPC otherwise, ENOMEM, EAGAIN | they are used up, perhaps by a program | UsedUp: a transient error |
| another error | the host permits none | programs are contained without |

The second case must not be taken for the first: a program could use up the namespaces of its user, so that
the next program is run without one, and sees the whole spool.
"""

from __future__ import annotations

import ctypes
import errno
import os

_FLAGS = {"mnt": 0x00020000, "ipc": 0x08000000, "user": 0x10000000, "pid": 0x20000000}
_USED_UP = (errno.ENOSPC, errno.ENOMEM, errno.EAGAIN)
_LIBC = ctypes.CDLL(None, use_errno=True)
# The lookup is done before the fork: a forked process pays for its first use of anything in copied pages.
_unshare = _LIBC.unshare


class UsedUp(OSError):
    """The host permits namespaces, and has none left at this moment."""


def unshare(*kinds: str) -> None:
    """Give this process new namespaces of these kinds; of `pid`, its future children.

    Raises UsedUp; any other OSError means that the host does not permit them.
    """
    if _unshare(sum(_FLAGS[kind] for kind in kinds)) != 0:
        number = ctypes.get_errno()
        used_up = number in _USED_UP and (number != errno.ENOSPC or all(map(_permitted, kinds)))
        raise (UsedUp if used_up else OSError)(number, os.strerror(number))


def _permitted(kind: str) -> bool:
    """Return whether the limit of a kind is not zero; where it can't be read, it has none."""
    try:
        with open(f"/proc/sys/user/max_{kind}_namespaces", "rb") as file:
            return int(file.read()) > 0
    except OSError:
        return True
