"""The body of a POST: received, unpacked, and made a job.

Bodies are unpacked here and not by aiohttp: a truncated gzip body is refused, not taken for an empty one.
"""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import web

from treadle.api.errors import ApiError
from treadle.api.incoming import IncomingBody
from treadle.intake.composing import FromBody
from treadle.intake.gateway import Gateway
from treadle.intake.posted import LargeFile, Posting, to_descriptor
from treadle_spool import Status
from treadle_spool.draft import LARGE

_SMALL = 16 * 1024
"""Bytes of a body; a larger one is parsed in a thread."""


async def submit_body(request: web.Request, body: IncomingBody, posting: Posting, gateway: Gateway) -> Status:
    """Accept the job that a request's body asks for; raise ApiError, or what the gateway raises."""
    content = await body.read(request, packed=_is_packed(request))
    if isinstance(content, bytes):
        parse = partial(to_descriptor, posting, content, LARGE)
        small = len(content) <= _SMALL and b"dataRef" not in content
        try:
            return await gateway.submit(parse() if small else await asyncio.to_thread(parse))
        except LargeFile:
            content = await body.to_file(content)
    source = FromBody(str(content), posting)
    try:
        return await gateway.submit_large(source, posting.service, body.size)
    except LargeFile as file:
        source = FromBody(str(content), posting, posting.max_bytes)
        return await gateway.submit_large(source, posting.service, body.size + file.size)


def _is_packed(request: web.Request) -> bool:
    """Return whether a body is packed by gzip; raise ApiError if it is encoded in another way."""
    if (charset := request.charset) and charset.lower().replace("_", "-") not in {
        "utf-8",
        "utf8",
        "us-ascii",
    }:
        raise ApiError(400, "INVALID_INPUT", f"the charset is {charset!r}: send JSON as UTF-8")
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise ApiError(
            415, "UNSUPPORTED_ENCODING", f"the body is encoded as {encoding!r}: send it plain or as gzip"
        )
    return encoding == "gzip"
