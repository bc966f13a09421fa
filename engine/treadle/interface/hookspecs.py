"""Every hook a plugin may implement.

Mark an implementation with `treadle.hookimpl`. A hook may take fewer arguments than are named here.
Those that register are called once, when the engine starts, and must not wait for anything. The
others may be `async def`. What fails in one plugin is logged under its name and hurts nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from aiohttp import web

    from treadle.interface.attempt import Attempt
    from treadle.interface.job import Job
    from treadle.interface.parser import OutputParser
    from treadle.interface.runtime import Runtime
    from treadle.interface.service import Service
    from treadle.interface.settings import Settings
    from treadle_spool import Descriptor, State

hookspec = pluggy.HookspecMarker("treadle")
hookimpl = pluggy.HookimplMarker("treadle")


@hookspec
def register_runtimes(settings: Settings) -> Iterable[Runtime]:  # type: ignore[empty-body]  # a specification
    """Return the runtimes this plugin provides, made ready with its section of the settings."""


@hookspec
def register_parsers(settings: Settings) -> Iterable[type[OutputParser]]:  # type: ignore[empty-body]  # a specification
    """Return the output parsers this plugin provides: classes, since every attempt gets an instance."""


@hookspec
def diagnose(settings: Settings) -> Any:
    """Return what `treadle doctor` should tell of this plugin: Diagnosis values. May be `async def`."""


@hookspec
def validate_job(job: Descriptor, service: Service) -> Iterable[str]:  # type: ignore[empty-body]  # a specification
    """Return what is wrong with a job before it is accepted; each problem is a sentence for the client."""


@hookspec
def wrap_run(attempt: Attempt) -> AbstractAsyncContextManager[Any]:  # type: ignore[empty-body]  # a specification
    """Return a context that is entered before the attempt is started or adopted, and left when it is over."""


@hookspec
def job_changed(job: Job, before: State, after: State) -> Any:
    """Take note that a job has gone from one state to the next. May be `async def`."""


@hookspec
def interim_result(job: Job, value: bytes) -> Any:
    """Take note of an interim result, as the JSON the program printed. May be `async def`."""


@hookspec
def engine_started(settings: Settings) -> Any:
    """Take note that the engine is ready to run jobs. May be `async def`."""


@hookspec
def engine_stopping() -> Any:
    """Take note that the engine is about to stop; its jobs may go on without it. May be `async def`."""


@hookspec
def register_routes(app: web.Application) -> None:
    """Add routes to the HTTP server, below `/-/<plugin's name>/` so that they can't meet a service."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the command line."""
