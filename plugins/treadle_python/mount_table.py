"""The table of mounts of the host's programs: what they do not see, and what of that they are given.

The rows are applied by treadle_inside/mounts.py, in the mount namespace that each program has:

1. The program has a /tmp and a /dev/shm of its own, unless the service wishes those of the host. What the
   command is given from them is bound back (given_paths.py).
2. The spool is covered, at each place where it, or a part of it, is mounted, in what was bound back as well.
3. What the command is given from the spool is bound back: input/ read-only, for instance. The working folder
   is bound back by the supervisor, which makes it.
4. For root's programs: the devices that the spool's file system lies on are covered too, since root could
   read them past every mount. /sys and /proc/sys are read-only: there root names programs that the kernel
   starts, outside of every namespace.

A further capability adds rows: a folder of the job, of a pool; an empty source is a folder of the program's
own.

The hidden places are looked up again when the host's mounts change. To look at each start would cost more
than the mounts. A device that is made while they don't change is not found.
"""

from __future__ import annotations

import os
import select
import stat
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from treadle import Attempt, Command
from treadle_python.given_paths import SHARED_MEMORY, TMP_FOLDER, GivenPaths, Row
from treadle_python.treadle_inside.mounts import EMPTY, READ_ONLY, READ_WRITE, TMP

_MOUNTS = "/proc/self/mountinfo"
_BLOCKS = Path("/sys/dev/block")
_TUNABLES = ("/proc/sys", "/sys")
_SYSRQ = "/proc/sysrq-trigger"


class MountTable:
    """Makes the rows for each attempt. It lives as long as the runtime, in the event loop's thread."""

    def __init__(self) -> None:
        """Look at nothing yet: without an attempt there is no spool."""
        self._hidden: dict[str, tuple[Row, ...]] = {}
        """By spool id, the rows that cover the spool, as long as the host's mounts are the same."""
        self._given = GivenPaths()

    def rows(self, attempt: Attempt, command: Command, *, private: bool) -> tuple[Row, ...]:
        """Return the rows for a command, with a /tmp of its own if `private`. Called for each start.

        What lies below a later cover is covered by that, whatever it was given with.
        """
        if self._watch.have_changed():
            self._hidden.clear()
            self._given.forget()
        spool = attempt.folder.parent.parent
        hidden = self._hidden.get(attempt.spool_id)
        if hidden is None:
            hidden = self._hidden[attempt.spool_id] = tuple(hidden_rows(os.path.realpath(spool)))
        given = [*self._given.of(attempt, command)]
        inside = self._given.in_spool(given, str(spool))
        if not private:
            return (*hidden, *inside)
        own = [target for _, target, _ in self._own]
        return (*self._own, *self._given.elsewhere(given, own), *hidden, *inside)

    @cached_property
    def _own(self) -> tuple[Row, ...]:
        """The rows that give a program its /tmp and its /dev/shm."""
        tmp, memory = map(os.path.realpath, (TMP_FOLDER, SHARED_MEMORY))
        return (TMP, tmp, READ_WRITE), (EMPTY, memory, READ_WRITE)

    @cached_property
    def _watch(self) -> _MountWatch:
        return _MountWatch()


class _MountWatch:
    """Tells whether the mounts of this process's namespace have changed; it keeps one file open."""

    def __init__(self) -> None:
        fd = os.open(_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, fd)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLPRI)

    def have_changed(self) -> bool:
        """Return whether anything was mounted or unmounted since the last call."""
        return bool(self._poll.poll(0))


class _HostMount(NamedTuple):
    """A line of /proc/self/mountinfo."""

    device: str
    """<major>:<minor> of the file system."""
    root: str
    """The folder of the file system that is mounted."""
    place: str
    source: str


def hidden_rows(spool: str) -> Iterator[Row]:
    """Yield the rows that cover a spool, its other places, and for root what leads past the mounts.

    spool is a path without links.
    """
    mounts = _host_mounts()
    yield EMPTY, spool, READ_ONLY
    of_spool = [each for each in mounts if _is_below(spool, each.place)]
    if not of_spool:
        return
    own = max(of_spool, key=lambda each: len(each.place))  # the last one of equals would lie on top
    own = [each for each in of_spool if each.place == own.place][-1]
    for place in _other_places(spool, own, mounts):
        yield EMPTY, place, READ_ONLY
    if os.geteuid() == 0:
        for device in sorted({*_devices(own), _SYSRQ}):
            if os.path.exists(device):  # noqa: PTH110  # a row in vain costs each program a tenth of a millisecond
                yield os.devnull, device, READ_WRITE
        for place in _TUNABLES:
            yield place, place, READ_ONLY


def _other_places(spool: str, own: _HostMount, mounts: list[_HostMount]) -> Iterator[str]:
    """Yield where else the spool or a part of it is mounted, outside of itself."""
    folder = _join(own.root, os.path.relpath(spool, own.place))
    for each in mounts:
        if each.device != own.device:
            continue
        if _is_below(folder, each.root):
            place = _join(each.place, os.path.relpath(folder, each.root))
        elif _is_below(each.root, folder):
            place = each.place
        else:
            continue
        if place != spool and not _is_below(place, spool) and Path(place).is_dir():
            yield place


def _devices(own: _HostMount) -> Iterator[str]:
    """Yield the devices that a file system lies on, those below them, and the file of a loop device.

    Not each of them is in /dev.
    """
    pending = [_BLOCKS / own.device]
    if own.source.startswith("/dev/"):
        try:
            status = os.stat(own.source)  # noqa: PTH116  # the number of the device is wanted
        except OSError:
            status = None
        if status is not None and stat.S_ISBLK(status.st_mode):
            pending.append(_BLOCKS / f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    seen: set[Path] = set()
    while pending:
        block = pending.pop().resolve()
        if block in seen or not block.is_dir():
            continue
        seen.add(block)
        names = [block.name.replace("!", "/")]
        names += [each.name for each in block.glob("device/scsi_generic/*")]
        names += [each.name for each in block.glob("device/bsg/*")]
        names += [block.name.replace("nvme", "ng", 1)] if block.name.startswith("nvme") else []
        yield from (f"/dev/{name}" for name in names)
        backing = block / "loop" / "backing_file"
        if backing.exists() and Path(file := backing.read_text().rstrip("\n")).is_file():
            yield os.path.realpath(file)
        pending += [*(block / "slaves").glob("*")]
        if (block / "partition").exists():
            pending.append(block.parent)


def _host_mounts() -> list[_HostMount]:
    """Return what is mounted, in the order in which it was."""
    found = []
    for line in Path(_MOUNTS).read_bytes().splitlines():
        fields, _, rest = line.partition(b" - ")
        _, _, device, root, place, *_ = fields.split()
        found.append(
            _HostMount(device.decode(), _unescape(root), _unescape(place), _unescape(rest.split()[1]))
        )
    return found


def _unescape(field: bytes) -> str:
    """Return a path of mountinfo, which has spaces and backslashes as octal numbers."""
    return os.fsdecode(field.decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1"))


def _join(folder: str, relative: str) -> str:
    return os.path.normpath(os.path.join(folder, relative))  # noqa: PTH118  # text is compared with text


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
