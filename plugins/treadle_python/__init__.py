"""The runtime `host`, and the programs that need no image: `python-template` and `command`."""

from __future__ import annotations

import click

from treadle import Diagnosis, Program, Runtime, Settings, hookimpl
from treadle_python.building.wheels import wheels
from treadle_python.executable import Executable
from treadle_python.isolation import diagnose_isolation
from treadle_python.options import Section
from treadle_python.python_template import PythonTemplate
from treadle_python.runtime import HostRuntime

__all__ = [
    "Executable",
    "HostRuntime",
    "PythonTemplate",
    "diagnose",
    "register_commands",
    "register_programs",
    "register_runtimes",
]


@hookimpl
def register_runtimes(settings: Settings) -> list[Runtime]:
    """Provide the runtime; its section may set `contain` (`auto`, `namespace`, `subreaper`) and `idle`."""
    section = settings.section("python-template", Section)
    return [HostRuntime(section.contain, idle=section.idle)]


@hookimpl
def register_programs(settings: Settings) -> list[Program]:
    """Provide the programs, for as many jobs at a time as the settings say."""
    installer = settings.section("python-template", Section).installer
    return [
        PythonTemplate(jobs=settings.jobs, installer=installer),
        Executable(jobs=settings.jobs, installer=installer),
    ]


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `treadle wheels`."""
    cli.add_command(wheels)


@hookimpl
async def diagnose(settings: Settings) -> list[Diagnosis]:
    """Report which interpreter is used by default, and what programs see of the spool."""
    contain = settings.section("python-template", Section).contain
    return [await HostRuntime(contain).diagnose(), await diagnose_isolation(contain)]
