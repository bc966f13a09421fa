"""The server: the process of `treadle serve`, from its start to the signal that ends it.

The first SIGTERM or SIGINT closes the intake (503), starts no more jobs and answers long polls; then the
engine is left, and running jobs go on for the next one. SIGHUP has the projects read again. The end of a
terminal sends it as well, and then it does no harm; it is not ignored, since the programs of jobs would
inherit that. Asyncio's own signal handlers are not used: they end with the event loop, and a late signal
would kill the process.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiohttp import web

from treadle.api.app import make_app
from treadle.api.connections import Runner
from treadle.api.listening import listening, raise_descriptor_limit
from treadle.engine import ApiProcess, Engine
from treadle.extend.selection import lack_of
from treadle.intake.gateway import Gateway
from treadle.interface.errors import TreadleError
from treadle.interface.settings import Settings
from treadle.operate.systemd import notify
from treadle.support.addresses import is_loopback, url_of
from treadle.support.lifetime import background
from treadle.support.log_limit import limit_repeated_lines

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT = 0.5
"""Seconds that open requests have to end when the server stops."""
_GC_THRESHOLD = 100_000
"""New objects after which the youngest generation is collected; a job leaves little garbage."""
_SWITCH_INTERVAL = 0.001
"""Seconds that a thread may keep the interpreter while the event loop waits; by default 0.005."""
_OPEN_TO_ALL = (
    "listening beyond this host (%s): whoever reaches it can start jobs, cancel them and read their results, "
    "since there are no passwords; --host 127.0.0.1 is for this host alone"
)
_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
_CANCEL_WINDOW = 3.0
"""Seconds after a Ctrl-C in which another one cancels the running jobs."""


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
        """Print messages for a person with tell; with drain, wait for running jobs at the end.

        With api_only this process has no engine: another process is the spool's engine.
        """
        self._kind: type[ApiProcess | Engine] = ApiProcess if api_only else Engine
        self._settings = settings
        self._tell = tell
        self._drain = drain
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._interrupts = 0
        self._cancel = asyncio.Event()
        self._leave_now = asyncio.Event()

    async def run(self) -> None:
        """Serve until a signal comes, and leave the spool in order."""
        limit_repeated_lines()
        _on(signal.SIGTERM, self._terminate)
        _on(signal.SIGINT, self._interrupt)
        _on(signal.SIGHUP, self._reload.set)
        async with self._kind(self._settings) as host, background(self._reload_on_signal(host.gateway)):
            runner = Runner(_app(host), raise_descriptor_limit(), _REQUEST_TIMEOUT)
            await runner.setup()
            try:
                async with AsyncExitStack() as stack:
                    addresses = await stack.enter_async_context(_listen(runner, self._settings))
                    await self._announce(addresses, host.gateway)
                    _collect_less_garbage()
                    sys.setswitchinterval(_SWITCH_INTERVAL)
                    notify("READY=1")
                    await self._stop.wait()
                    notify("STOPPING=1")
                    host.gateway.admission.closed = True
                    if isinstance(host, Engine):
                        await self._shut_down(host)
            finally:
                host.gateway.completions.wake_all()
                await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    async def _reload_on_signal(self, gateway: Gateway) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            log.info("SIGHUP: the services are read again")
            await gateway.reloader.reload()

    async def _announce(self, addresses: Collection[tuple[str, int]], gateway: Gateway) -> None:
        """Print where the server listens, and which services there are."""
        for host, port in addresses:
            self._tell(f"Serving at {url_of(host, port)}")
        if not all(is_loopback(host) for host, _ in addresses):
            log.warning(_OPEN_TO_ALL, self._settings.host or "every address")
        for service in list(gateway.services.values()):
            self._tell(f"  {service.name} ({service.runtime}): {service.path}")
            if lack := await asyncio.to_thread(lack_of, gateway.plugins, service):
                self._tell(f"  {service.name}: {lack}")
        for broken in gateway.services.broken:
            self._tell(f"  {broken.name} is BROKEN: {broken.reason}")
        self._tell(f"Spool: {gateway.spool.root}")

    async def _shut_down(self, engine: Engine) -> None:
        """Start no more jobs; wait for the running ones, leave them, or cancel them, as was asked for."""
        engine.dispatcher.hold()
        if self._drain:
            await _first(engine.dispatcher.idle(), self._leave_now.wait())
        running = list(engine.dispatcher.runs)
        if not running or not self._interrupts:
            return
        self._tell(f"{len(running)} running jobs go on without the engine: {', '.join(running)}")
        self._tell("Press Ctrl-C again to cancel them.")
        await _first(self._cancel.wait(), asyncio.sleep(_CANCEL_WINDOW), self._leave_now.wait())
        if self._cancel.is_set():
            self._tell("cancelling them")
            engine.dispatcher.cancel_all()
            await _first(engine.dispatcher.idle(), self._leave_now.wait())

    def _terminate(self) -> None:
        """SIGTERM: stop; a second one ends every wait, and the jobs go on."""
        if self._stop.is_set():
            self._leave_now.set()
        self._stop.set()

    def _interrupt(self) -> None:
        """SIGINT: stop; a second one cancels the running jobs, a third one waits for nothing."""
        self._interrupts += 1
        {1: self._stop, 2: self._cancel}.get(self._interrupts, self._leave_now).set()
        if self._interrupts > 1 and self._drain:
            self._leave_now.set()


def _app(host: ApiProcess | Engine) -> web.Application:
    metrics = host.metrics
    return make_app(
        host.gateway,
        health=host.health,
        metrics=None if metrics is None else metrics.text,
        count_refusal=None if metrics is None else metrics.refused,
    )


def _collect_less_garbage() -> None:
    """Exempt all that has been imported from garbage collection, and collect new objects less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


def _on(number: signal.Signals, act: Callable[[], None]) -> None:
    """Call act in the event loop at a signal; a signal after the loop's end does nothing."""
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(act)

    signal.signal(number, handle)


async def _first(*waits: Awaitable[object]) -> None:
    """Wait until the first of some awaitables is done, and cancel the others."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _listen(runner: Runner, settings: Settings) -> AsyncIterator[list[tuple[str, int]]]:
    """Accept connections until the block is left; yield the addresses.

    Raises TreadleError that names the setting to change.
    """
    async with AsyncExitStack() as stack:
        try:
            accepting = listening(runner.connections, settings.host, settings.port)
            sockets = await stack.enter_async_context(accepting)
        except (OSError, UnicodeError, OverflowError) as error:
            where = f"{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
            raise TreadleError(f"can't listen on {where}: {_why_not(error)}") from error
        # Not only the address: that of one link (fe80::…) is of use with its interface alone.
        names = [socket.getnameinfo(each.getsockname(), _NUMERIC) for each in sockets]
        yield [(host, int(port)) for host, port in names]


def _why_not(error: Exception) -> str:
    """Return why an address can't be listened on, and which setting to change."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    if number in {errno.EADDRINUSE, errno.EACCES}:
        return f"{os.strerror(number).lower()}; choose another --port"
    reason = os.strerror(number).lower() if number else getattr(error, "strerror", None) or error
    return f"{reason}; choose another --host"
