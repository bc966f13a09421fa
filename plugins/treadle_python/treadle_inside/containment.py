"""Containment: that nobody of a program's process tree survives it.

`namespace`: the supervisor is the first process of a PID namespace; when it ends, the kernel kills all
the others. `subreaper`: where namespaces are not permitted, orphans become the supervisor's children, and
it kills until none is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_MS_NOSUID_NODEV_NOEXEC = 0x2 | 0x4 | 0x8
_MS_REC_SLAVE = 0x4000 | 0x80000
_PR_SET_CHILD_SUBREAPER = 36
_SYS_CLOSE_RANGE = 436
_LAST_FILE = 0xFFFFFFFF
_LIBC = ctypes.CDLL(None, use_errno=True)
# Looked up and described once: what a forked process does for the first time, it pays for in copied pages.
_unshare = _LIBC.unshare
_mount = _LIBC.mount
_syscall = _LIBC.syscall
_mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p]

NAMESPACE = "namespace"
SUBREAPER = "subreaper"


def enter(wanted: str) -> str:
    """Arrange that the next fork makes a contained process, and return the kind that was possible.

    wanted is `auto`, `namespace` or `subreaper`; a namespace that is asked for and not permitted
    raises OSError.
    """
    if wanted == SUBREAPER:
        return SUBREAPER
    try:
        _unshare_processes()
    except OSError:
        if wanted == NAMESPACE:
            raise
        return SUBREAPER
    return NAMESPACE


def settle(kind: str) -> None:
    """Finish the arrangement in the process that is to wait for the contained ones."""
    if kind == SUBREAPER:
        _check(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def show_own(kind: str) -> None:
    """Show a program the processes of its own namespace in /proc, and nobody else's.

    In mounts of its own, which go with it: a process that waits would hold mounts of the host.
    """
    if kind == SUBREAPER:
        return
    # Where /proc is masked, as in a container, the program's own pid and /proc disagree, and that is all.
    with contextlib.suppress(OSError):
        _check(_unshare(_CLONE_NEWNS))
        _check(_mount(b"none", b"/", None, _MS_REC_SLAVE, None))  # what the host unmounts goes here as well
        _check(_mount(b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC, None))


def close_files(first: int) -> None:
    """Close all file descriptors from one on: what the supervisor, or what was preloaded, has open.

    In one call, which not every interpreter's os.closerange() makes: it may call close() for each number
    there can be, and in a container these can be a thousand million.
    """
    if _syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(_LAST_FILE), 0) != 0:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))  # Linux before 5.9


def signal_all(kind: str, number: int) -> bool:
    """Send a signal to every process of the tree but this one; return whether there was any."""
    if kind == NAMESPACE:
        try:
            os.kill(-1, number)
        except ProcessLookupError:
            return False
        return True
    found = descendants(os.getpid())
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(found)


def kill_all(kind: str) -> None:
    """Kill every process of the tree but this one, and reap them."""
    while True:
        if kind == SUBREAPER:
            signal_all(kind, signal.SIGSTOP)  # whoever forks meanwhile is met in the next round
        alive = signal_all(kind, signal.SIGKILL)
        try:
            while os.waitpid(-1, 0)[0]:
                pass
        except ChildProcessError:
            if not alive or kind == NAMESPACE:
                return


def descendants(root: int) -> list[int]:
    """Return the pids of all processes below root."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                parents.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    todo = [root]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def _unshare_processes() -> None:
    """Move this process's future children into a new PID namespace, with root's rights or without."""
    user, group = os.geteuid(), os.getegid()
    try:
        _check(_unshare(_CLONE_NEWPID))
    except PermissionError:
        _check(_unshare(_CLONE_NEWUSER | _CLONE_NEWPID))
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def _check(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
