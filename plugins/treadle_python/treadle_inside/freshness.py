"""The freshness of a fork server: whether its loaded code is that of the disk, and how much it has grown."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterable, Mapping

_MAX_AGE = 3600.0
"""Seconds after which a process is replaced, to limit what it may have accumulated."""
_MAX_GROWTH = 64 * 1024 * 1024
"""Bytes by which a process may grow before it is replaced."""
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class Freshness:
    """The state at the time when the code was loaded. It lives as long as the process; a fork inherits it."""

    def __init__(self, project: str) -> None:
        """Take the present state, with the modules that are loaded now."""
        self._loaded = _mtimes(_watched_paths(project))
        """The mtimes of the watched paths, as they were when the code was loaded."""
        self._started_at = time.monotonic()
        self._initial_memory = _resident_memory()

    def watch(self, mtimes: Mapping[str, int]) -> None:
        """Watch further files, whose code was loaded with these mtimes."""
        self._loaded.update(mtimes)

    def has_changed(self) -> bool:
        """Return whether loaded code has changed on the disk."""
        return _mtimes(self._loaded) != self._loaded

    def has_expired(self) -> bool:
        """Return whether this process is too old, or has grown too much."""
        grown = _resident_memory() - self._initial_memory
        return time.monotonic() - self._started_at > _MAX_AGE or grown > _MAX_GROWTH


def _watched_paths(project: str) -> list[str]:
    """Return the paths whose mtimes show a change: our modules, installed packages, the project's modules."""
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = [file for file in modules if file and file.startswith(project)]
    installed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return [sys.executable, os.path.dirname(__file__), *installed, *files]


def _mtimes(paths: Iterable[str]) -> dict[str, int]:
    """Return the mtime of each path, in nanoseconds; 0 if there is no such file."""
    mtimes = {}
    for path in paths:
        try:
            mtimes[path] = os.stat(path).st_mtime_ns
        except OSError:
            mtimes[path] = 0
    return mtimes


def _resident_memory() -> int:
    """Return the bytes of this process that are in memory."""
    fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 100).split()[1]) * _PAGE_SIZE
    finally:
        os.close(fd)
