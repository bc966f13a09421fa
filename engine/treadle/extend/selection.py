"""The selection of what executes a service: its program, and the runtime for it on this host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from treadle.extend.loader import Plugins
from treadle.interface.build import Build
from treadle.interface.errors import ServiceError
from treadle.interface.program import Program
from treadle.interface.runtime import Runtime
from treadle.interface.service import Service
from treadle.support.hints import nearest

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds in which a runtime has to say what a service lacks."""
_KEPT = 2
"""What stays of what a runtime has made for a service: the present one, and the one before."""


def candidates(plugins: Plugins, name: str) -> list[Runtime]:
    """Return the runtimes that a service's `runtime` names: one, or a kind, preferred ones first."""
    if runtime := plugins.runtimes.get(name):
        return [runtime]
    order = {each: place for place, each in enumerate(plugins.prefer)}
    of_kind = [runtime for runtime in plugins.runtimes.values() if name in runtime.kinds]
    return sorted(of_kind, key=lambda runtime: order.get(runtime.name, len(order)))


def image_runtimes(plugins: Plugins) -> set[str]:
    """Return the names and the kinds of the runtimes that execute images."""
    executing = [runtime for runtime in plugins.runtimes.values() if runtime.images]
    return {name for runtime in executing for name in (runtime.name, *runtime.kinds)}


def check_service(plugins: Plugins, service: Service) -> None:
    """Raise ServiceError unless the plugins can execute the service and parse its output."""
    runtimes = candidates(plugins, service.runtime)
    _require("runtime", service.runtime, plugins.runtimes, service, exists=bool(runtimes))
    _require("output parser", service.parser, plugins.parsers, service)
    for runtime in runtimes:
        if runtime.name in plugins.executing:
            _require("program", service.program, plugins.programs, service)
            _check_program(plugins, plugins.programs[service.program], runtime, service)
        _check_options(runtime, service)
        runtime.check(service)


async def choose_runtime(plugins: Plugins, service: Service) -> Runtime:
    """Return the first candidate runtime that works on this host.

    If none works, return the first one: its own error says what is missing. Raises ServiceError where there
    is no candidate.
    """
    runtimes = candidates(plugins, service.runtime)
    _require("runtime", service.runtime, plugins.runtimes, service, exists=bool(runtimes))
    for runtime in runtimes if len(runtimes) > 1 else ():
        if (await runtime.diagnose()).works:
            return runtime
    return runtimes[0]


async def missing(plugins: Plugins, service: Service) -> str | None:
    """Return what the service needs and this host lacks, by the runtime that would run it; None: nothing.

    A runtime that fails, or does not answer in time, says nothing.
    """
    if not any(type(each).missing is not Runtime.missing for each in candidates(plugins, service.runtime)):
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            runtime = await choose_runtime(plugins, service)
            return await runtime.missing(service)
    except TimeoutError:
        log.info("the runtime of service %s does not say in time what is missing", service.name)
    except Exception:  # a plugin's code may raise anything
        log.exception("the runtime of service %s can't say what is missing", service.name)
    return None


def release(plugins: Plugins, service: Service) -> None:
    """Have the runtimes let go what they keep for a service; failures are logged."""
    for runtime in candidates(plugins, service.runtime):
        try:
            runtime.release(service)
        except Exception:  # a plugin's code may raise anything
            log.exception("runtime %s failed to release service %s", runtime.name, service.name)


def program_for(plugins: Plugins, service: Service, runtime: Runtime) -> Program | None:
    """Return the service's program; None for a runtime that is the program and the place in one."""
    return plugins.programs[service.program] if runtime.name in plugins.executing else None


async def prepare(plugins: Plugins, service: Service, build: Build) -> None:
    """Have the service's program and runtime make what it needs, and check it. Raises TreadleError."""
    runtime = await choose_runtime(plugins, service)
    if runtime.name in plugins.executing:
        _require("program", service.program, plugins.programs, service)
        await plugins.programs[service.program].prepare(service, build)
    check_service(plugins, service)
    await runtime.prepare(service, build.report)
    if build.prune:
        for removed in await runtime.prune(_KEPT, service):
            build.report(f"removed {removed}")


def lack_of(plugins: Plugins, service: Service) -> str | None:
    """Return in one line what the service's program lacks on this host; a failure to tell it is logged.

    It reads files, so it blocks.
    """
    program = plugins.programs.get(service.program)
    if program is None:
        return None
    try:
        return program.lack(service)
    except Exception:  # a plugin's code may raise anything
        log.exception("program %s can't tell what service %s lacks", program.name, service.name)
        return None


def _require(
    kind: str, name: str, known: Mapping[str, Any], service: Service, *, exists: bool | None = None
) -> None:
    """Raise ServiceError unless a name that the service uses is known.

    exists decides instead where a name need not be in known: a runtime's may be that of a kind.
    """
    if not (name in known if exists is None else exists):
        raise ServiceError(
            f"{service.path}: there is no {kind} named {name!r}{nearest(name, known)}; "
            "`treadle plugins` lists what is installed"
        )


def _check_program(plugins: Plugins, program: Program, runtime: Runtime, service: Service) -> None:
    """Raise ServiceError unless the runtime can execute the program's commands."""
    if program.image and not runtime.images:
        others = sorted(each.name for each in plugins.programs.values() if not each.image)
        raise ServiceError(
            f"{service.path}: program {program.name!r} needs an image, and runtime {runtime.name!r} executes "
            f"none: set `runtime` in treadle.toml to one of {', '.join(sorted(image_runtimes(plugins)))}, or "
            f"`program` to one without an image: {_alternatives('program', others)}"
        )
    if runtime.images and not program.image:
        raise ServiceError(
            f"{service.path}: runtime {runtime.name!r} executes images, and program {program.name!r} has "
            "none: set another `program` or `runtime` in treadle.toml"
        )
    _check_options(program, service)
    program.check(service)


def _alternatives(key: str, values: Iterable[str]) -> str:
    return " or ".join(f'`{key} = "{value}"`' for value in values)


def _check_options(owner: Runtime | Program, service: Service) -> None:
    """Raise ServiceError unless the service's options are values of the owner's struct, if it has one."""
    if not isinstance(owner.options, Mapping):
        service.options_of(owner.options, owner.name)
