"""What a service has its fork server import, so that its programs need not, and what comes of it.

A program finds a preloaded module as if it had imported it itself. So what the module has opened stays open:

| an open descriptor of | in a program |
| --- | --- |
| a file for reading | the file, opened anew: each program reads from the same place on |
| a file for writing, a device | the same |
| a file for both (a database), a socket, a pipe, anything else | not shared: the server does not fork |

And where a module leaves objects with a finaliser, an open file for instance, each program ends as a whole
interpreter does (ending.py). What a module prints is printed by each program (streams.py). A module that
changes what the server itself calls, as gevent's monkey does, means that the server does not fork.
"""

from __future__ import annotations

import builtins
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
        if not modules:
            return
        placeholders = _fill_up()
        functions = _needed()
        before = _open_descriptors()
        beginning = Beginning()
        sys.path.insert(0, project)
        self.printed = Printed()
        try:
            with self._seeds:
                for name in modules:
                    importlib.import_module(name)
        finally:
            self.printed.take()
        sys.path.remove(project)
        beginning.flush_files()
        self.to_the_end = beginning.leaves_objects()
        self.libraries = beginning.leaves_libraries()
        for fd in sorted(_open_descriptors() - before):
            self._look_at(fd)
        for name, function in _needed().items():
            if function is not functions[name]:
                self.problem = f"what was preloaded has changed {name}, which the fork server needs"
        for fd in placeholders:
            os.close(fd)

    def renew(self) -> None:
        """Give this process, a program's, files and random numbers of its own where others have the same."""
        self._seeds.renew()
        for fd in self._reading:
            own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(own, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
            os.dup2(own, fd, inheritable=os.get_inheritable(fd))
            os.close(own)

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


def _open_descriptors() -> set[int]:
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    """Return whether a descriptor is open; the one by which the folder was listed is not."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
