"""The loader of plugins: it finds them, loads them one by one, checks and isolates them.

pluggy's own `load_setuptools_entrypoints` stops at the first broken plugin, so each entry point is loaded
here by itself. Each plugin is first registered with a pluggy manager of its own; what it provides is checked
there, and only a plugin without faults reaches the common manager. A broken plugin is listed with its error.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from treadle.interface import hookspecs
from treadle.interface.errors import PluginError, ServiceError
from treadle.interface.parser import OutputParser
from treadle.interface.runtime import Runtime
from treadle.interface.service import KEYS, Service, Types
from treadle.interface.settings import Settings
from treadle.support.hints import nearest
from treadle_spool import Descriptor

log = logging.getLogger(__name__)

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
    """`runtime <name>`, `parser <name>` and `hook <name>`."""
    error: str | None = None
    """Why it can't be used; None if it can."""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class _PluginSource:
    name: str
    version: str
    origin: str
    source: EntryPoint | Path

    def load(self) -> Any:
        if isinstance(self.source, EntryPoint):
            return self.source.load()
        return _load_file(self.source)

    def info(self, **more: Any) -> PluginInfo:
        return PluginInfo(self.name, self.version, self.origin, **more)


class Plugins:
    """The plugins of one process, and what they provide; made once at its start."""

    def __init__(self, settings: Settings) -> None:
        self.runtimes: dict[str, Runtime] = {}
        self.parsers: dict[str, type[OutputParser]] = {}
        self.listing: list[PluginInfo] = []
        """Every plugin that was found, in the order in which they were loaded."""
        self._settings = settings
        self._manager = _manager()
        for candidate in _candidates(settings.plugins_dir):
            self.listing.append(self._take(candidate))

    @property
    def options(self) -> Mapping[str, Types]:
        """The keys of treadle.toml that the runtimes add."""
        return {key: types for runtime in self.runtimes.values() for key, types in runtime.options.items()}

    def candidates(self, name: str) -> list[Runtime]:
        """Return the runtimes that a service's `runtime` names: one, or several if it names a kind."""
        if runtime := self.runtimes.get(name):
            return [runtime]
        order = {each: place for place, each in enumerate(self._settings.prefer)}
        of_kind = [runtime for runtime in self.runtimes.values() if name in runtime.kinds]
        return sorted(of_kind, key=lambda runtime: order.get(runtime.name, len(order)))

    async def choose(self, service: Service) -> Runtime:
        """Return the first candidate runtime that works on this host.

        If none works, return the first one: its own error says what is missing. Raises ServiceError if
        there is no candidate.
        """
        candidates = self.candidates(service.runtime)
        if not candidates:
            raise ServiceError(
                f"{service.path}: there is no runtime named {service.runtime!r}"
                f"{nearest(service.runtime, self.runtimes)}; `treadle plugins` lists what is installed"
            )
        for runtime in candidates if len(candidates) > 1 else ():
            if (await runtime.diagnose()).works:
                return runtime
        return candidates[0]

    def implementations(self, hook: str) -> Iterator[tuple[str, Implementation]]:
        """Yield (plugin's name, implementation) for a hook, in the order in which pluggy calls them."""
        for hookimpl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            yield hookimpl.plugin_name, Implementation(hookimpl)

    def problems(self, job: Descriptor, service: Service) -> list[str]:
        """Return the problems that the plugins' validate_job hooks find in a job."""
        problems: list[str] = []
        for name, implementation in self.implementations("validate_job"):
            try:
                problems += implementation(job=job, service=service) or ()
            except Exception:  # a plugin's code may raise anything
                log.exception("plugin %s failed in validate_job", name)
        return problems

    def extend(self, hook: str, **arguments: Any) -> None:
        """Call a hook that registers something with `arguments`; failures are logged."""
        for name, implementation in self.implementations(hook):
            try:
                implementation(**arguments)
            except Exception:  # a plugin's code may raise anything
                log.exception("plugin %s failed in %s", name, hook)

    async def close(self) -> None:
        """Close every runtime; a failure is logged."""
        for name, runtime in self.runtimes.items():
            try:
                await runtime.close()
            except Exception:  # a plugin's code may raise anything
                log.exception("runtime %s failed to close", name)

    def _take(self, candidate: _PluginSource) -> PluginInfo:
        if candidate.name in self._settings.disable:
            return candidate.info(disabled=True)
        try:
            if other := next((each for each in self.listing if each.name == candidate.name), None):
                raise PluginError(f"a plugin of that name was loaded already, from {other.origin}")
            return candidate.info(provides=tuple(self._register(candidate)))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin's code may raise anything
            log.warning("plugin %s (%s) can't be used: %s", candidate.name, candidate.origin, error)
            return candidate.info(error=f"{type(error).__name__}: {error}")

    def _register(self, candidate: _PluginSource) -> Iterator[str]:
        plugin = candidate.load()
        trial = _manager()
        trial.register(plugin, candidate.name)
        hooks = _check_hooks(trial, plugin)
        runtimes = _provided(trial, "register_runtimes", self._settings)
        parsers = _provided(trial, "register_parsers", self._settings)
        _refuse_duplicates("runtime", runtimes, self.runtimes)
        _refuse_duplicates("parser", parsers, self.parsers)
        for runtime in runtimes:
            _refuse_reserved_options(runtime)
        self._manager.register(plugin, candidate.name)
        self.runtimes |= {runtime.name: runtime for runtime in runtimes}
        self.parsers |= {parser.name: parser for parser in parsers}
        yield from (f"runtime {runtime.name}" for runtime in runtimes)
        yield from (f"parser {parser.name}" for parser in parsers)
        yield from (f"hook {hook}" for hook in hooks if not hook.startswith("register_"))


class Implementation:
    """One plugin's implementation of a hook, called with the arguments it names."""

    def __init__(self, hookimpl: pluggy.HookImpl) -> None:
        self._argnames = hookimpl.argnames
        self.function = hookimpl.function

    def __call__(self, **arguments: Any) -> Any:
        """Call it with those of the hook's arguments that it names."""
        return self.function(*(arguments[name] for name in self._argnames))


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("treadle")
    manager.add_hookspecs(hookspecs)
    return manager


def _candidates(folder: Path | None) -> Iterator[_PluginSource]:
    for entry in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        origin = entry.dist.name if entry.dist else "?"
        yield _PluginSource(entry.name, entry.dist.version if entry.dist else "?", origin, entry)
    for path in sorted(folder.glob("*.py")) if folder else ():
        yield _PluginSource(path.stem, "-", str(path), path)


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


def _check_hooks(trial: pluggy.PluginManager, plugin: object) -> Sequence[str]:
    """Return the names of the plugin's hooks; raise PluginError for an unknown hook or a wrapper."""
    callers = trial.get_hookcallers(plugin) or []
    if not callers:
        raise PluginError("it implements no hook: mark its functions with treadle.hookimpl")
    for caller in callers:
        if not caller.has_spec():
            raise PluginError(f"there is no hook named {caller.name!r}")
        if any(each.wrapper or each.hookwrapper for each in caller.get_hookimpls()):
            raise PluginError(f"{caller.name}: hook wrappers are not supported; wrap_run surrounds a run")
    return sorted(caller.name for caller in callers)


def _provided(trial: pluggy.PluginManager, hook: str, settings: Settings) -> list[Any]:
    batches: Iterable[Iterable[Any] | None] = getattr(trial.hook, hook)(settings=settings)
    return [provided for batch in batches for provided in batch or ()]


def _refuse_duplicates(kind: str, provided: Iterable[Any], known: Mapping[str, Any]) -> None:
    for each in provided:
        if each.name in known:
            raise PluginError(f"a {kind} named {each.name!r} is there already, from another plugin")


def _refuse_reserved_options(runtime: Runtime) -> None:
    if taken := sorted(set(runtime.options) & set(KEYS)):
        raise PluginError(
            f"runtime {runtime.name!r} claims keys of treadle.toml that are Treadle's: {', '.join(taken)}"
        )
