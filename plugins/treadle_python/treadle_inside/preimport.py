"""What can be done of a program's import before there is a program: nothing of the service's is run."""

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

_SETTLED = 3.0
"""Seconds since a file or folder was changed after which its next change shows in its time."""


class Preimport:
    """An entrypoint's packages, imported where they are an empty __init__.py, and its module's code.

    The interpreter also gets to know the packages' folders. It looks again at those that have changed
    since, which it tells by the time of their modification.
    """

    def __init__(self, project: str, entrypoint: str) -> None:
        """Do what can be done; whatever is wrong with the module, the program will meet it."""
        self.module = entrypoint.partition(":")[0]
        self.packages: dict[str, int] = {}
        """The files of the packages that were imported, with their times of modification."""
        self._source: dict[str, int] = {}
        """The file that the code was made of, likewise."""
        self._spec: ModuleSpec | None = None
        self._code: types.CodeType | None = None
        self._again = 0.0
        """When more might be known; 0 if never."""
        sys.path.insert(0, project)
        try:
            self._look(project)
        except Exception:  # noqa: BLE001  # a finder or the compiler may raise anything
            self._code = None
        finally:
            sys.path.remove(project)

    def holds(self) -> bool:
        """Say whether this is as it would be if it was made now."""
        if self._again and time.monotonic() > self._again:
            return False
        return all(_time(path) == then for path, then in self._source.items())

    def run(self) -> None:
        """Have the module imported, if its code is known and it is not imported yet."""
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
            exec(self._code, module.__dict__)  # noqa: S102  # that is what an import is
        except BaseException:
            sys.modules.pop(self.module, None)
            raise
        parent, _, name = self.module.rpartition(".")
        if parent:
            setattr(sys.modules[parent], name, module)

    def _look(self, project: str) -> None:
        """Go from package to package to the module, up to where something of the service's would run."""
        folder, *names = project, *self.module.split(".")
        for depth, name in enumerate(names, 1):
            whole = ".".join(names[:depth])
            if not self._is_settled(folder):
                return
            spec = importlib.machinery.PathFinder.find_spec(whole, [folder])
            if spec is None or spec.origin is None or not self._is_settled(spec.origin):
                return
            if depth == len(names):
                self._compile(spec, spec.origin)
            elif os.path.getsize(spec.origin) or not spec.submodule_search_locations:
                return
            else:
                self.packages[spec.origin] = _time(spec.origin)
                importlib.import_module(whole)
                folder = os.path.join(folder, name)

    def _is_settled(self, path: str) -> bool:
        if time.time() - os.stat(path).st_mtime > _SETTLED:
            return True
        self._again = time.monotonic() + _SETTLED
        return False

    def _compile(self, spec: ModuleSpec, source: str) -> None:
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            self._spec = spec
            self._source = {source: _time(source)}
            self._code = spec.loader.get_code(spec.name)


def _time(path: str) -> int:
    """Return when a file was changed, in nanoseconds; 0 if it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
