"""What a program may not do: whatever would take its mounts away, or reach a process outside.

A program runs as the engine's user. As root it keeps what root needs to work with files, processes and its
own limits, but none of _FORBIDDEN. An ordinary user's program is in a user namespace, which is only the way
to the other namespaces; it keeps no capability, as it would have none outside.

1. The supervisor, once: it takes _FORBIDDEN out of the bounding set, which its programs inherit, so that no
   set-user-ID file and no file capability gives it back. It makes itself undumpable: then its links in /proc
   (root, cwd, fd), its memory and its environment are closed to its programs, which are of the same user.
2. The program's process, once it has its mounts: it gives the capabilities up, and is dumpable again.

A program that makes a user namespace gets new capabilities there, over that namespace only: the kernel
locks the mounts that were made outside it. no_new_privs is not set: sudo and other set-user-ID programs go
on to work, within the bounding set; what they gain can't undo a mount either.
"""

from __future__ import annotations

import ctypes
import os

_FORBIDDEN = (
    2,  # DAC_READ_SEARCH: a file is opened by its handle, past every mount
    9,  # LINUX_IMMUTABLE: a folder is left that can't be removed
    12,  # NET_ADMIN: the host's packets are redirected
    13,  # NET_RAW: requests to the API are read from the network
    16,  # SYS_MODULE
    17,  # SYS_RAWIO: memory and disks are read past their files
    19,  # SYS_PTRACE: the supervisor is read, and its descriptors
    21,  # SYS_ADMIN: mounts are taken away, namespaces entered
    22,  # SYS_BOOT
    27,  # MKNOD: a disk's device is made
    30,  # AUDIT_CONTROL
    32,  # MAC_OVERRIDE
    33,  # MAC_ADMIN
    34,  # SYSLOG
    37,  # AUDIT_READ
    38,  # PERFMON: the kernel's memory is read
    39,  # BPF: likewise
    40,  # CHECKPOINT_RESTORE: another process's memory is read
)
"""The capabilities that a program does not have, with what each would permit (linux/capability.h)."""

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 4, 24
_VERSION_3 = 0x20080522
_HALF = 0xFFFFFFFF
_KEPT = ~sum(1 << number for number in _FORBIDDEN)
_LIBC = ctypes.CDLL(None, use_errno=True)
# The lookup is done before the fork: a forked process pays for its first use of anything in copied pages.
_prctl, _capget, _capset = _LIBC.prctl, _LIBC.capget, _LIBC.capset
_Header = ctypes.c_uint32 * 2
_Sets = ctypes.c_uint32 * 6
"""Effective, permitted and inheritable: the lower halves, then the upper ones."""


def bound() -> None:
    """Limit what programs can ever gain, and close this process to them. Called once, by the supervisor."""
    for number in _FORBIDDEN:
        _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # it fails for a capability that this kernel has not
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def drop() -> None:
    """Give up what a program may not have. Called by its process, when it has its mounts. Raises OSError."""
    if not _keep(_KEPT if os.geteuid() == 0 else 0):
        raise OSError(ctypes.get_errno(), "the program's capabilities can't be given up")
    _prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def warm_up() -> None:
    """Do once what costs a forked process copied pages, without an effect: keep every capability."""
    _keep(-1)


def _keep(kept: int) -> bool:
    """Give up the capabilities that are not in a set of bits; return whether that was possible."""
    header, sets = _Header(_VERSION_3, 0), _Sets()
    if _capget(header, sets) != 0:
        return False
    for index in range(6):
        sets[index] &= kept >> (32 * (index // 3)) & _HALF
    return bool(_capset(header, sets) == 0)
