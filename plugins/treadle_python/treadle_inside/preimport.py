"""The part of a program's import that is done before the program starts; no code of the service is run."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from importlib.machinery import ModuleSpec

_SETTLE_TIME = 3.0
"""Seconds after a change of a file or folder. A later change is sure to give it another mtime."""


class Preimport:
    """The prepared import of one entrypoint: its empty packages are imported, its module is compiled.

    A supervisor makes it, and the programs that are forked later use it. The interpreter also caches the
    listings of the packages' folders; it reads a folder again when the folder's mtime has changed.
    """

    def __init__(self, project: str, entrypoint: str) -> None:
        """Prepare as much as possible. An error in the module is left for the program to raise."""
        self.module = entrypoint.partition(":")[0]
        self.packages: dict[str, int] = {}
        """The files of the imported packages, with their mtimes."""
        self._source: dict[str, int] = {}
        """The file that was compiled, with its mtime."""
        self._spec: ModuleSpec | None = None
        self._code: types.CodeType | None = None
        self._retry_at = 0.0
        """When a new Preimport may prepare more, on the monotonic clock; 0 for never."""
        sys.path.insert(0, project)
        try:
            self._prepare(project)
        except Exception:  # noqa: BLE001  # a finder or the compiler may raise anything
            self._code = None
        finally:
            sys.path.remove(project)

    def is_current(self) -> bool:
        """Return whether a new Preimport would have the same result."""
        if self._retry_at and time.monotonic() > self._retry_at:
            return False
        return all(_mtime(path) == then for path, then in self._source.items())

    def run(self) -> None:
        """Import the module, if it is compiled and not yet imported. Called in the program's process."""
        if self._code is None or self._spec is None or self.module in sys.modules:
            return
        spec = self._spec
        module = types.ModuleType(self.module)
        module.__dict__.update(
            __spec__=spec,
            __loader__=spec.loader,
            __package__=spec.parent,
            __file__=spec.origin,
            __cached__=spec.cached,
        )
        sys.modules[self.module] = module
        try:
            exec(self._code, module.__dict__)  # noqa: S102  # an import does the same
        except BaseException:
            sys.modules.pop(self.module, None)
            raise
        parent, _, name = self.module.rpartition(".")
        if parent:
            setattr(sys.modules[parent], name, module)

    def _prepare(self, project: str) -> None:
        """Import package after package down to the module; stop where code of the service would run."""
        folder, *names = project, *self.module.split(".")
        for depth, name in enumerate(names, 1):
            qualified_name = ".".join(names[:depth])
            if not self._is_settled(folder):
                return
            spec = importlib.machinery.PathFinder.find_spec(qualified_name, [folder])
            if spec is None or spec.origin is None or not self._is_settled(spec.origin):
                return
            if depth == len(names):
                self._compile(spec, spec.origin)
            elif os.path.getsize(spec.origin) or not spec.submodule_search_locations:
                return
            else:
                self.packages[spec.origin] = _mtime(spec.origin)
                importlib.import_module(qualified_name)
                folder = os.path.join(folder, name)

    def _is_settled(self, path: str) -> bool:
        if abs(time.time() - os.stat(path).st_mtime) > _SETTLE_TIME:  # in the future: the clock was set back
            return True
        self._retry_at = time.monotonic() + _SETTLE_TIME
        return False

    def _compile(self, spec: ModuleSpec, source: str) -> None:
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            self._spec = spec
            self._source = {source: _mtime(source)}
            self._code = spec.loader.get_code(spec.name)


def _mtime(path: str) -> int:
    """Return when a file was changed, in nanoseconds; 0 if there is no such file."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
