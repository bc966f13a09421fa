"""The server: an engine and its HTTP API, until a signal ends both."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from treadle.api.app import make_app
from treadle.engine import Engine
from treadle.intake.gateway import Gateway
from treadle.interface.errors import TreadleError
from treadle.interface.settings import Settings
from treadle.operate.systemd import notify

_FAREWELL = 0.5
"""Seconds that requests still under way have when the server stops."""
_GARBAGE = 100_000
"""Objects that are made before the young ones are looked at for garbage, of which jobs make little."""
_SECOND_THOUGHT = 3.0
"""Seconds after a Ctrl-C in which another one cancels the jobs that would go on."""


class Server:
    """Runs an engine and serves its API until SIGTERM or SIGINT; running jobs go on without it."""

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str], None],
        *,
        drain: bool = False,
        api_only: bool = False,
    ) -> None:
        """Use tell for what a person should read; with drain, wait for running jobs at the end.

        With api_only there is no engine here: another process is the spool's.
        """
        self._kind = Gateway if api_only else Engine
        self._settings = settings
        self._tell = tell
        self._drain = drain
        self._stop = asyncio.Event()
        self._interrupts = 0
        self._cancel = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Serve until a signal comes, and leave the spool in order."""
        _on(signal.SIGTERM, self._terminate)
        _on(signal.SIGINT, self._interrupt)
        async with self._kind(self._settings) as gateway:
            runner = web.AppRunner(
                _app(gateway),
                access_log=None,
                shutdown_timeout=_FAREWELL,
                auto_decompress=False,  # api/body.py unpacks: a damaged body is refused like any bad input
            )
            await runner.setup()
            try:
                for url in await _listen(runner, self._settings):
                    self._tell(f"Serving at {url}")
                for service in gateway.services.values():
                    self._tell(f"  {service.name} ({service.runtime}): {service.path}")
                self._tell(f"Spool: {gateway.spool.root}")
                gc.collect()
                gc.freeze()  # so that no later collection walks through all that has been imported
                gc.set_threshold(_GARBAGE)
                notify("READY=1")
                await self._stop.wait()
                notify("STOPPING=1")
                gateway.admission.closed = True
                if isinstance(gateway, Engine):
                    await self._take_leave(gateway)
            finally:
                gateway.completions.wake_all()
                await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # nothing is left to be interrupted

    async def _take_leave(self, engine: Engine) -> None:
        """Take no more jobs, and do with those that run what was asked for."""
        engine.dispatcher.hold()
        if self._drain:
            await _first(engine.dispatcher.idle(), self._hurry.wait())
        running = list(engine.dispatcher.runs)
        if not running or not self._interrupts:
            return
        self._tell(f"{len(running)} running jobs go on without the engine: {', '.join(running)}")
        self._tell("Press Ctrl-C again to cancel them.")
        await _first(self._cancel.wait(), asyncio.sleep(_SECOND_THOUGHT), self._hurry.wait())
        if self._cancel.is_set():
            self._tell("cancelling them")
            engine.dispatcher.cancel_all()
            await _first(engine.dispatcher.idle(), self._hurry.wait())

    def _terminate(self) -> None:
        """SIGTERM: stop; a second one ends whatever is waited for, and the jobs go on."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _interrupt(self) -> None:
        """SIGINT: stop; a second one cancels the running jobs, a third one waits for nothing."""
        self._interrupts += 1
        {1: self._stop, 2: self._cancel}.get(self._interrupts, self._hurry).set()
        if self._interrupts > 1 and self._drain:
            self._hurry.set()


def _app(gateway: Gateway) -> web.Application:
    return make_app(
        spool=gateway.spool,
        services=gateway.services,
        submit=gateway.submit,
        completions=gateway.completions,
        changes=gateway.changes,
        settings=gateway.settings,
        plugins=gateway.plugins,
        health=gateway.health,
        metrics=gateway.metrics if isinstance(gateway, Engine) else None,
    )


def _on(number: signal.Signals, act: Callable[[], None]) -> None:
    """Call act in the event loop at a signal.

    asyncio's own handlers end with the loop, and then a late signal would kill the process.
    """
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(act)

    signal.signal(number, handle)


async def _first(*waits: Awaitable[object]) -> None:
    """Wait for the first of several things."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _listen(runner: web.AppRunner, settings: Settings) -> list[str]:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise TreadleError(f"can't listen on {where}: {error.strerror}; choose another --port") from error
    return [f"http://{host}:{port}" for host, port, *_ in runner.addresses]
