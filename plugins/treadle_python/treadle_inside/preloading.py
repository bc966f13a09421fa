"""What a service has its fork server import, so that its programs need not, and what comes of it.

A program finds a preloaded module as if it had imported it itself. So what the module has opened stays open:

| an open descriptor of | in a program |
| --- | --- |
| a file for reading | the file, opened anew: each program reads from the same place on |
| a file for writing, a device | the same |
| a file for both (a database), a socket, a pipe, anything else | not shared: the server does not fork |

And where a module leaves objects with a finaliser, an open file for instance, each program ends as a whole
interpreter does (ending.py). What a module prints is printed by each program (streams.py). A module that
changes what the server itself calls, as gevent's monkey does, means that the server does not fork; and so do
shared memory, a temporary folder and a process.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import importlib
import json
import os
import select
import signal
import socket
import stat
import sys
import time

from .ending import Beginning
from .streams import Printed
from .system_seeds import SystemSeeds

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterator
    from typing import Any

_NEEDED = {
    builtins: ("isinstance", "len", "open"),
    json: ("dumps", "loads"),
    os: (
        "_exit",
        "close",
        "dup2",
        "fork",
        "fstat",
        "getpid",
        "open",
        "pipe",
        "read",
        "stat",
        "wait4",
        "write",
    ),
    select: ("poll",),
    signal: ("pthread_sigmask", "signal"),
    socket: ("socket",),
    time: ("monotonic", "sleep", "time", "time_ns"),
}
"""By module, functions that a module may change which programs can live with, and the server can't."""
_FIRST = 4
"""The lowest descriptor that a preloaded module may get: a program has the lower ones for itself."""


class Preloaded:
    """The modules of one server, imported when this is made; it may raise anything that an import does."""

    def __init__(self, modules: list[str], project: str) -> None:
        """Import modules from the project, or from the installed packages."""
        self.descriptors: list[int] = []
        """What they have opened, and programs keep."""
        self._reading: list[int] = []
        self._seeds = SystemSeeds()
        self.problem: str | None = None
        """Why this process must not be forked."""
        self.to_the_end = False
        """Whether a program has to come to a real end of the interpreter."""
        self.libraries = False
        """Whether they have loaded libraries."""
        self.printed: Printed | None = None
        """What they have printed."""
        if modules:
            self._import(modules, project)

    def _import(self, modules: list[str], project: str) -> None:
        placeholders = _fill_up()
        functions, shared = _needed(), _shared_mappings()
        before = _open_descriptors()
        beginning = Beginning()
        sys.path.insert(0, project)
        self.printed = Printed()
        try:
            with self._seeds, _folders_made() as made:
                for name in modules:
                    importlib.import_module(name)
        finally:
            self.printed.take()
        sys.path.remove(project)
        for name, function in _needed().items():
            if function is not functions[name]:
                self.problem = f"what was preloaded has changed {name}, which the fork server needs"
                return
        beginning.flush_files()
        self.to_the_end = beginning.leaves_objects()
        self.libraries = beginning.leaves_libraries()
        for fd in sorted(_open_descriptors() - before):
            self._look_at(fd)
        for fd in placeholders:
            os.close(fd)
        self._look_at_effects(shared, made)
        self._try_to_renew()

    def renew(self) -> None:
        """Give this process, a program's, files and random numbers of its own where others have the same."""
        if self.printed is None:  # nothing was preloaded
            return
        self._seeds.renew()
        for fd in self._reading:
            own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(own, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
            os.dup2(own, fd, inheritable=os.get_inheritable(fd))
            os.close(own)

    def _look_at_effects(self, shared: set[str], folders: list[str]) -> None:
        """Look for what no descriptor tells of, and a program would not have as its own."""
        if _shared_mappings() - shared:
            self.problem = "what was preloaded has memory that all programs would share"
        if folders:
            self.problem = f"what was preloaded has made {folders[0]}, and a program has a /tmp of its own"
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            self.problem = "what was preloaded has started a process, which is none of a program's own"

    def _try_to_renew(self) -> None:
        """Do once what each program has to: what it raises there would fail all of them."""
        try:
            self.renew()
        except Exception as error:  # noqa: BLE001  # a seed() of a module may raise anything
            self.problem = f"what was preloaded can't be renewed: {type(error).__name__}: {error}"

    def _look_at(self, fd: int) -> None:
        kind = os.fstat(fd).st_mode
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        self.descriptors.append(fd)
        if stat.S_ISCHR(kind):
            return
        if not stat.S_ISREG(kind) or access == os.O_RDWR:
            opened = os.readlink(f"/proc/self/fd/{fd}")
            self.problem = f"what was preloaded has opened {opened}, and programs can't share that"
        elif access == os.O_RDONLY:
            self._reading.append(fd)


def _needed() -> dict[str, object]:
    """Return the functions that a fork server and its supervisors call, by their names."""
    return {
        f"{module.__name__}.{name}": getattr(module, name, None)
        for module, names in _NEEDED.items()
        for name in names
    }


def _fill_up() -> list[int]:
    """Open something on all descriptors below the first that a module may get, and return those."""
    filled = []
    while (fd := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) < _FIRST:
        filled.append(fd)
    os.close(fd)
    return filled


def _shared_mappings() -> set[str]:
    """Return the mappings of this process that are shared with others and may be written to."""
    with open("/proc/self/maps") as maps:
        return {line for line in maps if line.split()[1].startswith("rw-s")}


@contextlib.contextmanager
def _folders_made() -> Iterator[list[str]]:
    """Note the temporary folders that are made."""
    import tempfile  # noqa: PLC0415  # only a server that preloads something needs it

    original, made = tempfile.mkdtemp, []

    def mkdtemp(*arguments: Any, **more: Any) -> Any:
        made.append(path := original(*arguments, **more))
        return path

    tempfile.mkdtemp = mkdtemp
    try:
        yield made
    finally:
        tempfile.mkdtemp = original


def _open_descriptors() -> set[int]:
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    """Return whether a descriptor is open; the one by which the folder was listed is not."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
