"""The server: an engine and its HTTP API, until a signal ends both."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

from treadle.api.app import make_app
from treadle.engine import Engine
from treadle.errors import TreadleError
from treadle.settings import Settings

_FAREWELL = 1.0
"""Seconds that requests still under way have when the server stops."""


async def serve(settings: Settings, started: Callable[[Engine, list[str]], None]) -> None:
    """Run an engine and serve its API until SIGTERM or SIGINT; running jobs go on without it.

    started is called with the engine and its URLs once both are ready.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Engine(settings) as engine:
        # Bodies are unpacked by api/body.py: a damaged one is refused there like any other bad input.
        runner = web.AppRunner(
            _app(engine), access_log=None, shutdown_timeout=_FAREWELL, auto_decompress=False
        )
        await runner.setup()
        try:
            urls = await _listen(runner, settings)
            started(engine, urls)
            await stop.wait()
        finally:
            await runner.cleanup()


def _app(engine: Engine) -> web.Application:
    return make_app(
        spool=engine.spool,
        services=engine.services,
        admission=engine.admission,
        endings=engine.endings,
        settings=engine.settings,
        plugins=engine.plugins,
        health=engine.health,
    )


async def _listen(runner: web.AppRunner, settings: Settings) -> list[str]:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise TreadleError(f"can't listen on {where}: {error.strerror}; choose another --port") from error
    return [f"http://{host}:{port}" for host, port, *_ in runner.addresses]
