"""The loader of plugins: it loads them one by one, checks and isolates them.

pluggy's own `load_setuptools_entrypoints` stops at the first broken plugin, so each entry point is loaded
here by itself. Each plugin is first registered with a pluggy manager of its own; what it provides is checked
there, and only a plugin without faults reaches the common manager. A broken plugin is listed with its error.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pluggy

from treadle.extend.sources import PluginInfo, PluginSource, plugin_sources
from treadle.interface import hookspecs
from treadle.interface.errors import PluginError, SettingsError
from treadle.interface.options import KnownOptions, Owner
from treadle.interface.parser import OutputParser
from treadle.interface.program import Program
from treadle.interface.runtime import Runtime, takes_command
from treadle.interface.service import HOST, RENAMED_RUNTIMES, Service, ServiceFile
from treadle.interface.settings import Settings
from treadle.support.expected import keys_of
from treadle_spool import Descriptor

log = logging.getLogger(__name__)


class Plugins:
    """The plugins of one process, and what they provide; made once at its start.

    Raises SettingsError if the settings name a plugin or a runtime that is not there, or a plugin refuses
    its section.
    """

    def __init__(self, settings: Settings) -> None:
        self.runtimes: dict[str, Runtime] = {}
        self.programs: dict[str, Program] = {}
        self.executing: set[str] = set()
        """The runtimes that execute a program's command; the others are the program and the place in one."""
        self.parsers: dict[str, type[OutputParser]] = {}
        self.listing: list[PluginInfo] = []
        """Every plugin that was found, in the order in which they were loaded."""
        self.options = KnownOptions()
        """The keys of treadle.toml that the runtimes and programs add."""
        self.prefer: tuple[str, ...] = ()
        """The runtimes to try first, by name."""
        self._settings = settings
        self._manager = _manager()
        for source in plugin_sources(settings.plugins_dir):
            self.listing.append(self._take(source))
        self.prefer = tuple(_present_name(name, self.runtimes) for name in settings.prefer)
        _refuse_unknown_names(settings, self)

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

    def _take(self, source: PluginSource) -> PluginInfo:
        if source.name in self._settings.disable:
            return source.info(disabled=True)
        try:
            if other := next((each for each in self.listing if each.name == source.name), None):
                raise PluginError(f"a plugin of that name was loaded already, from {other.origin}")
            return source.info(provides=tuple(self._register(source)))
        except SettingsError:
            raise  # the operator's engine.toml is wrong, and not the plugin
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin's code may raise anything
            log.warning("plugin %s (%s) can't be used: %s", source.name, source.origin, error)
            return source.info(error=f"{type(error).__name__}: {error}")

    def _register(self, source: PluginSource) -> Iterator[str]:
        plugin = source.load()
        trial = _manager()
        trial.register(plugin, source.name)
        hooks = _check_hooks(trial, plugin)
        runtimes = _provided(trial, "register_runtimes", self._settings)
        programs = _provided(trial, "register_programs", self._settings)
        parsers = _provided(trial, "register_parsers", self._settings)
        _refuse_duplicates("runtime", runtimes, self.runtimes)
        _refuse_duplicates("program", programs, self.programs)
        _refuse_duplicates("parser", parsers, self.parsers)
        owners = [Owner.of("runtime", each.name, each.options, each.kinds) for each in runtimes]
        owners += [Owner.of("program", each.name, each.options) for each in programs]
        options = self.options.extended(owners, reserved=keys_of(ServiceFile))
        for runtime in runtimes:
            _warn_of_old_interface(runtime, source.name)
        self._manager.register(plugin, source.name)
        self.options = options
        self.runtimes |= {runtime.name: runtime for runtime in runtimes}
        self.executing |= {runtime.name for runtime in runtimes if takes_command(runtime)}
        self.programs |= {program.name: program for program in programs}
        self.parsers |= {parser.name: parser for parser in parsers}
        yield from (f"runtime {runtime.name}" for runtime in runtimes)
        yield from (f"program {program.name}" for program in programs)
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


def _refuse_unknown_names(settings: Settings, plugins: Plugins) -> None:
    """Raise SettingsError for a plugin or a runtime that the settings name, and that was not found."""
    installed = {each.name for each in plugins.listing}
    unusable = {each.name for each in plugins.listing if each.disabled or each.error}
    for kind, key, names, known in (
        ("plugin", "plugins", settings.plugins, installed),
        ("plugin", "disable", settings.disable, installed),
        ("runtime", "prefer", settings.prefer, {HOST, *RENAMED_RUNTIMES, *plugins.runtimes, *unusable}),
    ):
        for name in names:
            members = sorted(each.name for each in plugins.runtimes.values() if name in each.kinds)
            if key == "prefer" and members and name not in plugins.runtimes:
                detail = f"{name!r} is a kind of runtimes, and no single one: name {' or '.join(members)}"
                raise settings.wrong_name(key, name, detail)
            if name not in known:
                raise settings.unknown_name(kind, key, name, known)


def _present_name(runtime: str, known: Collection[str]) -> str:
    """Return the name of a runtime today, unless a runtime has its former name."""
    return runtime if runtime in known else RENAMED_RUNTIMES.get(runtime, runtime)


def _warn_of_old_interface(runtime: Runtime, plugin: str) -> None:
    if not takes_command(runtime):
        log.warning(
            "plugin %s: start of runtime %s takes the attempt alone; it works as before, but should take "
            "(attempt, command)",
            plugin,
            runtime.name,
        )
