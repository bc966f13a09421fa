"""Server-sent events (WHATWG HTML, section 9.2): a job's events for whoever would rather listen than poll."""

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
"""Seconds without an event after which a comment shows that the connection lives."""


def last_heard(request: web.Request) -> Position:
    """Return where a listener that comes back has stopped; raise ApiError if it says something else."""
    text = request.headers.get("Last-Event-ID", "")
    try:
        return Position.parse(text) if text else Position()
    except ValueError as error:
        raise ApiError(400, "INVALID_INPUT", str(error), "Last-Event-ID") from None


async def stream(request: web.Request, events: JobEvents, changes: Changes) -> web.StreamResponse:
    """Send the events as they happen, until the job has ended or the client has gone.

    A listener that has heard the end and comes back, as browsers do, is answered 204: it stops.
    """
    if events.over():
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    try:
        while not events.over():
            with events.changed(changes) as changed:
                while happened := await asyncio.to_thread(events.read):
                    await response.write(b"".join(map(_format, happened)))
                if not events.over():
                    await _wait(changed, response)
        await response.write_eof()
    except UnknownJob:
        log.info("job %s was removed while somebody listened to it", request.path)
    except ConnectionError:
        pass  # the client has gone; it may come back and say where it has stopped
    except OSError as error:  # the answer has begun: all that can be done is to end it
        log.error("%s: %s; the listener has to come back", request.path, error)
    return response


async def _wait(changed: asyncio.Event, response: web.StreamResponse) -> None:
    try:
        async with asyncio.timeout(_HEARTBEAT):
            await changed.wait()
    except TimeoutError:
        await response.write(b":\n\n")


def _format(event: Event) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        str(event.position).encode(),
        event.kind.encode(),
        event.data,
    )
