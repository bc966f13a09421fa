"""Responses that are sent in pieces, so that a large one is never in memory as a whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from itertools import islice

from aiohttp import web

from treadle.api.errors import answer

log = logging.getLogger(__name__)

_SMALL = 256 * 1024
"""Bytes of a response that is sent at once."""


async def send(request: web.Request, length: int, pieces: Iterator[bytes]) -> web.StreamResponse:
    """Send JSON of a known length in pieces, which are read in threads.

    Raises OSError if the first piece can't be read. Later, the response can only be cut: the client sees that
    it is shorter than its Content-Length.
    """
    if length <= _SMALL:
        return answer(await asyncio.to_thread(b"".join, pieces))
    first = await asyncio.to_thread(list, islice(pieces, 2))
    response = web.StreamResponse(headers={"Content-Length": str(length)})
    response.content_type = "application/json"
    await response.prepare(request)
    try:
        for piece in first:
            await response.write(piece)
        while piece := await asyncio.to_thread(next, pieces, b""):
            await response.write(piece)
        await response.write_eof()
    except OSError as error:  # the response has begun: it can only be ended
        log.info("%s: the response was cut: %r", request.path, error)
        response.force_close()
        if request.transport is not None:
            request.transport.abort()
    return response
