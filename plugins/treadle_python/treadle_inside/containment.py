"""Containment: no process of a program's tree survives the program.

`namespace`: the supervisor is the first process of a PID namespace. When it ends, the kernel kills all
other processes of the namespace.
`subreaper`: used where namespaces are not permitted. Orphans become children of the supervisor, and it
kills until none is left.

Dropped: a namespace for each job, which the fork server entered and left again (`setns`). That was possible
for root only; now a supervisor is made in its namespace and takes one attempt after the other. To close
the descriptors that are listed in /proc/self/fd, or by os.closerange() (close_fds_from).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

from . import mounts, namespaces, privileges

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Sequence

    from .mounts import Row
    from .usage import Usage

_PR_SET_CHILD_SUBREAPER = 36
_SYS_CLOSE_RANGE = 436
_MAX_FD = 0xFFFFFFFF
_LIBC = ctypes.CDLL(None, use_errno=True)
# The lookup is done before the fork: a forked process pays for its first use of anything in copied pages.
_syscall = _LIBC.syscall

NAMESPACE = "namespace"
SUBREAPER = "subreaper"


def enter(contain: str) -> str:
    """Prepare this process so that its next fork makes a contained process; return the kind of containment.

    contain is `auto`, `namespace` or `subreaper`. Where namespaces are not permitted, `auto` gives
    `subreaper` and `namespace` raises OSError. Where they are used up, both raise UsedUp.
    """
    if contain == SUBREAPER:
        return SUBREAPER
    try:
        _unshare_pids()
    except namespaces.UsedUp:
        raise
    except OSError:
        if contain == NAMESPACE:
            raise
        return SUBREAPER
    return NAMESPACE


def become_reaper(kind: str) -> None:
    """Make this process the parent of orphans, and close it to its programs. Called once by the supervisor.

    The first process of a PID namespace is the parent of its orphans already.
    """
    if kind == SUBREAPER:
        _check(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    else:
        privileges.bound()


def confine(kind: str, rows: Sequence[Row], tmp: str) -> bool:
    """Confine this process to the mounts of the rows, and to what a program may do. Called by a program's.

    tmp is the folder for rows that want one (mounts.py). The program has a mount namespace of its own, which
    ends with it. Returns whether the mounts were made. Raises OSError: then it must not be run.
    """
    if kind != NAMESPACE:
        return False
    has_mounts = mounts.enter(rows, tmp)
    privileges.drop()
    return has_mounts


def warm_up() -> None:
    """Do once what `confine` costs a forked process in copied pages, without an effect."""
    mounts.warm_up()
    privileges.warm_up()


def close_fds_from(first: int, kept: Sequence[int] = ()) -> None:
    """Close all file descriptors from first on, those of the supervisor; kept are left, in rising order.

    This is one system call. os.closerange() of some interpreters calls close() for each possible number,
    and in a container there can be a thousand million of them.
    """
    for fd in kept:
        _close_range(first, fd - 1)
        first = fd + 1
    _close_range(first, _MAX_FD)


def _close_range(first: int, last: int) -> None:
    if first > last:
        return
    if _syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0) != 0:
        os.closerange(first, min(last + 1, os.sysconf("SC_OPEN_MAX")))  # Linux before 5.9


def signal_all(kind: str, number: int) -> bool:
    """Send a signal to every process of the tree except this one; return whether there was any."""
    if kind == NAMESPACE:
        try:
            os.kill(-1, number)
        except ProcessLookupError:
            return False
        return True
    pids = descendants(os.getpid())
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(pids)


def kill_all(kind: str, usage: Usage) -> None:
    """Kill every process of the tree except this one, reap them, and count them in usage."""
    while True:
        if kind == SUBREAPER:
            signal_all(kind, signal.SIGSTOP)  # a process forked meanwhile is killed next round
        alive = signal_all(kind, signal.SIGKILL)
        try:
            while usage.wait(0)[0]:
                pass
        except ChildProcessError:
            if not alive or kind == NAMESPACE:
                return


def descendants(root: int) -> list[int]:
    """Return the pids of all processes below root; zombies are left out."""
    children_of: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                children_of.setdefault(int(fields[1]), []).append(int(name))
    pids: list[int] = []
    pending = [root]
    while pending:
        children = children_of.get(pending.pop(), [])
        pids += children
        pending += children
    return pids


def _unshare_pids() -> None:
    """Put the future children of this process into a new PID namespace, as root or as an ordinary user."""
    user, group = os.geteuid(), os.getegid()
    try:
        namespaces.unshare("pid")
    except PermissionError:
        namespaces.unshare("user", "pid")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
