"""Where plugins come from: the entry points of installed distributions, and a folder of single files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from treadle.interface.errors import PluginError

GROUP = "treadle"
"""The entry-point group in which plugins announce themselves."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin that was found: loaded, disabled or broken."""

    name: str
    version: str
    origin: str
    """The distribution or the file it comes from."""
    provides: tuple[str, ...] = ()
    """`runtime <name>`, `program <name>`, `parser <name>` and `hook <name>`."""
    error: str | None = None
    """Why it can't be used; None if it can."""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin that can be loaded."""

    name: str
    version: str
    origin: str
    importable: EntryPoint | Path

    def load(self) -> Any:
        """Import the plugin; its code may raise anything."""
        if isinstance(self.importable, EntryPoint):
            return self.importable.load()
        return _load_file(self.importable)

    def info(self, **more: Any) -> PluginInfo:
        """Return what is known of it, and more that became known by loading it."""
        return PluginInfo(self.name, self.version, self.origin, **more)


def plugin_sources(folder: Path | None) -> Iterator[PluginSource]:
    """Yield the plugins of installed distributions, then those that are files of the folder."""
    for entry in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        origin = entry.dist.name if entry.dist else "?"
        yield PluginSource(entry.name, entry.dist.version if entry.dist else "?", origin, entry)
    for path in sorted(folder.glob("*.py")) if folder else ():
        yield PluginSource(path.stem, "-", str(path), path)


def _load_file(path: Path) -> ModuleType:
    name = f"treadle_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
