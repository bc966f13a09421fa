"""Server-sent events (WHATWG HTML, section 9.2): the events of one job as a stream, in place of polling."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from treadle.api.errors import ApiError
from treadle.watch.changes import Changes
from treadle.watch.job_events import Event, JobEvents, Position
from treadle_spool import UnknownJob

log = logging.getLogger(__name__)

_HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, to keep the connection alive."""

_PIECE = 256 * 1024
"""Bytes that are written at a time."""


def requested_position(request: web.Request) -> Position:
    """Return the position in `Last-Event-ID`, or the start; raise ApiError for what is no id of an event."""
    text = request.headers.get("Last-Event-ID", "")
    try:
        return Position.parse(text) if text else Position()
    except ValueError as error:
        raise ApiError(400, "INVALID_INPUT", str(error), "Last-Event-ID") from None


async def stream(request: web.Request, events: JobEvents, changes: Changes) -> web.StreamResponse:
    """Send the events as they happen, until the job has ended or the client has closed the connection.

    A client that has received the last event and connects again, as browsers do, gets 204, so it stops.
    """
    if events.over():
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    try:
        while not events.over():
            with events.changed(changes) as changed:
                while pieces := await asyncio.to_thread(_read, events):
                    for piece in pieces:
                        await response.write(piece)
                if not events.over():
                    await _wait(changed, response)
        await response.write_eof()
    except UnknownJob:
        log.info("%s: the job was removed while a client listened to it", request.path)
    except ConnectionError:
        pass  # the client has gone; it may connect again with the id of its last event
    except OSError as error:  # the response has begun: it can only be ended
        log.error("%s: %s; the client has to connect again", request.path, error)
    return response


async def _wait(changed: asyncio.Event, response: web.StreamResponse) -> None:
    """Wait until there may be more to read, or send a heartbeat."""
    try:
        async with asyncio.timeout(_HEARTBEAT):
            await changed.wait()
    except TimeoutError:
        await response.write(b":\n\n")


def _read(events: JobEvents) -> list[memoryview]:
    """Return the text of the next events, in pieces: writing one may copy it."""
    text = memoryview(b"".join(map(_format, events.read())))
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _format(event: Event) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        str(event.position).encode(),
        event.kind.encode(),
        event.data,
    )
