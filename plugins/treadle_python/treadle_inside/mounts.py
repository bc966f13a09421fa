"""What a program sees of the host's files: one table of mounts, applied in the program's mount namespace.

A row is [source, target, mode], all absolute paths without links; mode is READ_ONLY or READ_WRITE. A row with
the source EMPTY covers the folder `target` by an empty one of the program's own, in memory, and one with the
source TMP by one on the disk, which the supervisor makes. Any other row gives a file or folder: it is bound
to the target. The engine makes the rows (mount_table.py); the supervisor's working folder is one more.

1. The process enters a mount namespace of its own, and mounts a /proc that shows its PID namespace only.
2. The sources are opened (O_PATH) before anything is covered: their paths may lead through a cover.
3. The rows are mounted in their order, from the open sources; EMPTY is a tmpfs. A target below an earlier
   cover is made there.
4. The covers become what their mode says, and the sources are closed: no descriptor of the outside stays.

The caller has to enter its working folder again by its path: in the old one `..` leads out of the cover. It
also has to give up the capability to take mounts away (privileges.py).

A source that is missing is left out, and so is a target that is not there to be covered. Where the host
permits no mounts, nothing is covered: `treadle doctor` says so.

Dropped: a mount namespace that is prepared before the request arrives, or by the supervisor. As long as it
lives, it keeps busy what the host unmounts. A cover for each room of the spool: seven mounts instead of one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import time

from . import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Sequence

    Row = Sequence[str]
    """Source, target and mode."""

EMPTY, TMP = "", "tmp"
READ_ONLY, READ_WRITE = "ro", "rw"

_RETRY_DELAY = 0.2
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 0x1, 0x20, 0x1000, 0x4000, 0x80000
_MS_NOSUID_NODEV = 0x2 | 0x4
_MS_NOSUID_NODEV_NOEXEC = _MS_NOSUID_NODEV | 0x8
_LIBC = ctypes.CDLL(None, use_errno=True)
# The lookup is done before the fork: a forked process pays for its first use of anything in copied pages.
_mount = _LIBC.mount
_mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p]


def enter(rows: Sequence[Row], tmp: str = "") -> bool:
    """Give this process a mount namespace in which the rows hold, and a /proc of its PID namespace.

    tmp is the folder of rows with the source TMP. With such a row, the process has its own shared memory,
    semaphores and queues of System V as well, where the kernel knows how.
    Called by a program's process before any code of the service. Returns False where the host permits no
    mounts. Raises OSError if something else fails: then the program must not be run. Where the host's mount
    namespaces are used up, it waits: nothing else may be done without one.
    """
    try:
        _enter_namespace("mnt")
        _mount_at("/", _MS_REC | _MS_SLAVE)  # an unmount on the host is followed here
    except OSError:
        return False
    # In a container /proc may be masked. Then the program's own pid and /proc disagree; nothing else fails.
    with contextlib.suppress(OSError):
        _check(_mount(b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC, None))
    if any(row[0] == TMP for row in rows):
        with contextlib.suppress(OSError):
            _enter_namespace("ipc")
    sources = [_open(tmp if row[0] == TMP else row[0]) for row in rows]
    try:
        return _apply(rows, sources)
    finally:
        for fd in sources:
            if fd is not None:
                os.close(fd)


def _enter_namespace(kind: str) -> None:
    while True:
        try:
            return namespaces.unshare(kind)
        except namespaces.UsedUp:
            time.sleep(_RETRY_DELAY)


def warm_up() -> None:
    """Do once what costs a forked process copied pages, without an effect."""
    namespaces.unshare()
    _mount(b"none", b"", None, 0, None)
    os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))


def _apply(rows: Sequence[Row], sources: Sequence[int | None]) -> bool:
    covers: list[str] = []
    try:
        for (source, target, mode), fd in zip(rows, sources):  # noqa: B905  # Python 3.9 has no `strict`
            if fd is None and source != EMPTY:
                continue
            try:
                _mount_row(fd, target, mode, covers)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if source in (EMPTY, TMP):
                covers.append(target)
    except PermissionError:
        if covers:
            raise
        return False
    for source, target, mode in rows:
        if source == EMPTY and target in covers and mode == READ_ONLY:
            _mount_at(target, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID_NODEV_NOEXEC)
    return True


def _open(source: str) -> int | None:
    """Open a source without following a link at its end; None if there is none to be opened."""
    if source == EMPTY:
        return None
    try:
        return os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _mount_row(fd: int | None, target: str, mode: str, covers: Sequence[str]) -> None:
    """Bind an open source to its target, with what is mounted below it; None is an empty folder."""
    for cover in covers:
        if target.startswith(f"{cover}/"):
            _make(cover, target, is_folder=fd is None or stat.S_ISDIR(os.fstat(fd).st_mode))
    if fd is None:
        _check(_mount(b"none", os.fsencode(target), b"tmpfs", _MS_NOSUID_NODEV, None))
        return
    _check(_mount(b"/proc/self/fd/%d" % fd, os.fsencode(target), None, _MS_BIND | _MS_REC, None))
    if mode == READ_ONLY:
        # In a user namespace a flag that the mount has already may not be taken from it.
        present = os.fstatvfs(fd).f_flag & _MS_NOSUID_NODEV_NOEXEC
        _mount_at(target, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | present)


def _make(cover: str, target: str, *, is_folder: bool) -> None:
    """Make what a source is bound to, in a cover."""
    *parents, name = target[len(cover) + 1 :].split("/")
    path = cover
    for each in (*parents, name) if is_folder else parents:
        path = f"{path}/{each}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
    if not is_folder:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC))


def _mount_at(target: str, flags: int) -> None:
    """Change what is mounted at a place."""
    _check(_mount(b"none", os.fsencode(target), None, flags, None))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
