"""The connections of the HTTP server: how long each may take, and how many there may be.

aiohttp has no limit for the time that a request's headers take, nor for the number of connections. A few
thousand half-sent requests take every file descriptor, and the engine can open no file any more. So:

1. The headers of a request have `PATIENCE` seconds, and a client that takes nothing of its response is closed
   as well (uptake.py). Once a second all connections are looked at; that costs a request nothing but the
   note of a time.
2. There are `most` connections. If one more comes, the oldest ones are closed that are idle, or whose request
   has not come completely. So somebody who holds connections open is the first to lose them. If all are busy,
   the new one gets 503 and is closed.
3. What takes long to parse has a small share of the time: bytes are parsed in the event loop, and a body in
   chunks of one byte costs 3 µs for each. Its connection is then not read for a while, and the more of them
   there are, the longer.

A timer for each request was the alternative; it costs 5 µs, thousands of times as often as it is needed.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from treadle.api.errors import ApiError, error_response, malformed, of_aiohttp
from treadle.api.uptake import Uptake

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds for the headers of a request."""
_LOOK = 1.0
"""Seconds between two looks at all connections."""
_IDLE = 75.0
"""Seconds after which an idle connection is closed; reverse proxies close theirs after 60."""
_LINGER = 3.0
"""Seconds in which the rest of a refused body is read and thrown away, so the client sees the response."""
_YOUNG = 1.0
"""Seconds in which a request is expected on a new connection."""
_READ = 16 * 1024
"""Bytes that are read, and parsed, at a time."""
_DEAR = 0.0005
"""Seconds that it takes to parse them if something is strange about them: as a rule it is 0.0001."""
_REST = 4.0
"""Seconds of other work for each second of such parsing, for all connections together."""
_AT_A_TIME = 32
"""Connections that are closed at a time to make room."""
_BUSY = b'{"code":"BUSY","detail":"the engine has as many connections as it can have: try again later"}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BUSY), _BUSY)
)
"""What a client gets if there is no room for its connection."""


class Connection(RequestHandler):
    """One connection of a client, from its accept to its end. It answers in JSON to what is no HTTP, too."""

    __slots__ = ("_body", "_rests", "_uptake", "busy", "server", "since", "waits")

    def __init__(self, server: Connections, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self.server = server
        self.busy = False
        """Whether a request is being handled."""
        self.waits = True
        """Whether a request is expected to come: it has begun, or it is the first one."""
        self.since = loop.time()
        """When the request that is expected has begun, or when the last one ended."""
        self._body: StreamReader | None = None
        self._uptake = Uptake()
        self._rests = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the connection."""
        super().connection_made(transport)
        setattr(transport, "max_size", _READ)  # noqa: B010  # it is no part of asyncio's public interface
        self.server.open[self] = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self.server.open.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take note of the time at which a request begins, and parse the bytes."""
        begun = time.thread_time()  # of the CPU: a busy host is no fault of the client
        if data and not self.busy and not self.waits:
            self.waits = True
            self.since = self._loop.time()
        super().data_received(data)
        if (spent := time.thread_time() - begun) > _DEAR and self.transport is not None:
            self._rests = True
            self.transport.pause_reading()
            self._loop.call_later(self.server.rest_after(spent), self._read_on)

    def _read_on(self) -> None:
        """Read again, after a rest, unless aiohttp has a reason of its own not to."""
        self._rests = False
        is_paused = self._reading_paused or getattr(self, "_buffer_paused", False)  # aiohttp 3.14 has both
        if self.transport is not None and not is_paused:
            self.transport.resume_reading()

    def resume_reading(self, *arguments: Any, **options: Any) -> None:
        """Do as the base class does if reading is paused; this is called for each chunk, and parses."""
        if self._reading_paused:
            super().resume_reading(*arguments, **options)
            if self._rests and self.transport is not None:
                self.transport.pause_reading()

    def begin(self, body: StreamReader) -> None:
        """Take note that a request's headers have come."""
        self.busy, self.waits, self._body = True, False, body

    def end(self) -> None:
        """Take note that a request's handler has ended."""
        self.busy, self._body = False, None
        self.since = self._loop.time()

    def is_receiving(self) -> bool:
        """Return whether a request is being handled whose body has not come completely."""
        return self._body is not None and not self._body.is_eof()

    def is_late(self, now: float) -> bool:
        """Return whether the client takes too long to send the headers."""
        return self.waits and not self.busy and now - self.since > PATIENCE

    def look_at_uptake(self, now: float) -> None:
        """Hang up if the client takes nothing of its response."""
        if self.transport is not None:
            self._uptake.look(self.transport, now)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to what is no HTTP, and to a bug; the connection is closed then."""
        if status >= 500:  # noqa: PLR2004  # all errors that are not the client's
            log.error("a request from %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response has been sent already")
        internal = ApiError(status, "INTERNAL_ERROR", "an internal error; the engine's log has the traceback")
        response = error_response(malformed(message or exc) if status < 500 else internal)  # noqa: PLR2004  # likewise
        response.force_close()
        return response


class Connections(web.Server):
    """All connections of one server, for its lifetime; used in the event loop."""

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, most: int) -> None:
        """Handle requests as another server would."""
        super().__init__(self._handle, request_factory=server.request_factory, loop=loop)
        self.open: dict[Connection, None] = {}
        """The connections, the oldest first."""
        self._most = most
        self._handler = server.request_handler
        self._rested = 0.0
        """When the event loop has had enough time for other work, after all that took long to parse."""

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            self._loop,
            access_log=None,
            keepalive_timeout=_IDLE,
            lingering_time=_LINGER,
            auto_decompress=False,  # api/incoming.py unpacks: a damaged body is refused like any bad input
        )

    def rest_after(self, spent: float) -> float:
        """Return how many seconds not to read a connection whose bytes took so long to parse."""
        now = self._loop.time()
        self._rested = max(now, self._rested) + _REST * spent
        return self._rested - now

    def make_room(self) -> bool:
        """Return whether there is room for one more connection; others are closed for it, if need be."""
        if len(self.open) < self._most:
            return True
        for candidates in (self._silent(), self._receiving(), self._without_request()):
            if oldest := heapq.nsmallest(_AT_A_TIME, candidates, key=lambda each: each.since):
                log.warning("%d connections: %d are closed that send nothing", len(self.open), len(oldest))
                self._close(oldest)
                return True
        log.warning("%d connections, and all have requests: a further one is refused", len(self.open))
        return False

    async def close_slow_ones(self) -> None:
        """Close the connections of clients that take too long, until this is cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            now = self._loop.time()
            self._close([each for each in self.open if each.is_late(now)])
            for each in list(self.open):
                each.look_at_uptake(now)

    def _silent(self) -> Iterable[Connection]:
        """Yield those without a request that have had time for one: a new one is about to send its own."""
        now = self._loop.time()
        return (each for each in self._without_request() if now - each.since > _YOUNG)

    def _without_request(self) -> Iterable[Connection]:
        return (each for each in self.open if not each.busy)

    def _receiving(self) -> Iterable[Connection]:
        return (each for each in self.open if each.is_receiving())

    def _close(self, connections: Iterable[Connection]) -> None:
        for each in connections:
            self.open.pop(each, None)
            if (transport := each.transport) is not None:
                each.force_close()
                transport.abort()  # it may have bytes that the client does not take

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin(request.content)
        try:
            return await self._handler(request)
        except web.HTTPException as error:  # before any middleware: an unknown Expect, for instance
            return error_response(of_aiohttp(error))
        finally:
            connection.end()


class Runner(web.AppRunner):
    """Runs an application whose connections are Connections."""

    def __init__(self, app: web.Application, most: int, shutdown_timeout: float) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout)
        self._most = most

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        self.connections = Connections(server, asyncio.get_running_loop(), self._most)
        return self.connections
