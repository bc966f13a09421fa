"""The hooks that a plugin may implement.

Mark an implementation with `treadle.hookimpl`. It may take fewer arguments than its hook has. Rely on no
order among plugins but `tryfirst` and `trylast`. Hook wrappers are not supported. There are three kinds:

- Registering hooks are called synchronously, once in each process that needs them, and must not block.
- `validate_job`, `wrap_run` and `diagnose` return an answer to their caller, who waits for it.
- Observers (`job_changed`, `interim_result`, `engine_started`, `engine_stopping`) are called in the engine's
  process only. Each plugin has a queue: its notifications arrive in order, one at a time. An `async def`
  runs in the engine's event loop, a plain function in a thread. A call that lasts longer than 10 s is
  abandoned, and if 10,000 notifications wait, further ones are dropped. Notifications that wait when the
  engine ends are delivered for 1 s, and are lost in a crash.

An exception of a hook is logged with the plugin's name. It affects neither other plugins nor the job.
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
    from treadle.interface.program import Program
    from treadle.interface.runtime import Runtime
    from treadle.interface.service import Service
    from treadle.interface.settings import Settings
    from treadle_spool import Descriptor, State

hookspec = pluggy.HookspecMarker("treadle")
hookimpl = pluggy.HookimplMarker("treadle")


@hookspec
def register_runtimes(settings: Settings) -> Iterable[Runtime]:  # type: ignore[empty-body]  # a specification
    """Return the plugin's runtimes, configured with its section of the settings (`settings.section`).

    Called once in each process that loads the plugins: the engine, an API process, and commands such as
    `treadle run`, `build`, `doctor` and `plugins`. If it raises, the whole plugin is listed as broken; but a
    SettingsError stops the start, since engine.toml is wrong then.
    """


@hookspec
def register_programs(settings: Settings) -> Iterable[Program]:  # type: ignore[empty-body]  # a specification
    """Return the plugin's programs, configured with its section of the settings.

    Called when `register_runtimes` is, after it. If it raises, the whole plugin is listed as broken.
    """


@hookspec
def register_parsers(settings: Settings) -> Iterable[type[OutputParser]]:  # type: ignore[empty-body]  # a specification
    """Return the plugin's output parsers, as classes: the engine makes an instance for each attempt.

    Called when `register_runtimes` is, after it. If it raises, the whole plugin is listed as broken.
    """


@hookspec
def diagnose(settings: Settings) -> Any:
    """Return Diagnosis values: what works on this host, and what to install or start. May be `async def`.

    Called by `treadle doctor`, once, in the event loop of that command's process. An exception is shown as
    a check that failed.
    """


@hookspec
def validate_job(job: Descriptor, service: Service) -> Iterable[str]:  # type: ignore[empty-body]  # a specification
    """Return the problems of a job that is about to be accepted, each a sentence for the client.

    If there is one, the job is refused. Called for each job from HTTP or the drop folder, in a thread of the
    engine or of an API process; calls for different jobs overlap. A dropped file that has to wait is
    validated again. An exception is logged, and does not refuse the job.
    """


@hookspec
def wrap_run(attempt: Attempt) -> AbstractAsyncContextManager[Any]:  # type: ignore[empty-body]  # a specification
    """Return an asynchronous context, which the engine enters around an attempt.

    Called in the engine's event loop, before an attempt is started or adopted. The context is left when the
    attempt is over, before the outcome is published. If the engine stops earlier, the context is left with
    CancelledError, and the next engine enters a new one. After a crash the old context is never left. A
    context that raises when it is entered or left is logged, and the attempt goes on.
    """


@hookspec
def job_changed(job: Job, before: State, after: State) -> Any:
    """Observe that a job has gone from one state to another. May be `async def`.

    Called once for each change that the engine makes or notices; a new job comes from State.UNKNOWN. After a
    restart, jobs that still wait are reported as new again. A change that a crash interrupted may be missed.
    """


@hookspec
def interim_result(job: Job, value: bytes) -> Any:
    """Observe an interim result, as the JSON bytes that the program printed. May be `async def`.

    Called once for each interim result. One that an earlier engine recorded is not reported again.
    """


@hookspec
def engine_started(settings: Settings) -> Any:
    """Observe that the engine is ready to run jobs. May be `async def`.

    Called once for each start of an engine, after the attempts of an earlier engine have been adopted.
    """


@hookspec
def engine_stopping() -> Any:
    """Observe that the engine is about to stop. Its running jobs may go on without it. May be `async def`.

    Called once when the engine stops in order; never after a crash.
    """


@hookspec
def register_routes(app: web.Application) -> None:
    """Add routes to the HTTP server, below `/-/<plugin's name>/`, where no service can be.

    Called synchronously, once in each process that serves the API, before it listens. An exception is logged.
    """


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the command line.

    Called synchronously, once in the command line's process, if the list of commands or a command that is
    not built in is wanted. An exception is logged.
    """
