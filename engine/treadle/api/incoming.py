"""The bytes of requests' bodies: at a pace, within a size, and within a budget for all of them together.

A body is in memory until its job is accepted, several times over: as it came, as the job's file, in the
process that validates it. So what all requests may hold at a time is bounded, and a further one gets 503.
Bytes are counted as they come: a client that only announces a large body takes nothing from the others.

A client has `PATIENCE` seconds for each pause, and must come up to `PACE` over time: what it sends extends
its deadline, but never beyond `PATIENCE` from now. So one that stops or trickles is refused within that time.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Self

from aiohttp import StreamReader, web

from treadle.api.errors import ApiError

PATIENCE = 10.0
"""Seconds that a client may send nothing."""
PACE = 8 * 1024
"""Bytes that a client must send in a second, over `PATIENCE` seconds."""
_LEAST = 128 * 1024 * 1024
"""Bytes that the bodies of all requests may have in memory at a time, at least; two of the largest fit."""
_LARGE = 4 * 1024 * 1024
"""Bytes from which on a body waits for its turn."""
_GZIP = 16 + zlib.MAX_WBITS
"""The value of zlib's wbits for the gzip format."""
_PIECE = 256 * 1024
"""Bytes that are unpacked at a time."""


class Incoming:
    """The budget of one application for the bodies of its requests; used in the event loop."""

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        self.turn = asyncio.Lock()
        """Held for the large body that is being parsed and written."""
        self._left = max(_LEAST, 2 * max_body)

    def body(self) -> IncomingBody:
        """Return the budget's share for one request: the bytes are given back when its block is left."""
        return IncomingBody(self)

    def take(self, size: int) -> None:
        """Take bytes from the budget; raise ApiError if it has fewer left."""
        if size > self._left:
            raise ApiError(
                503,
                "BUSY",
                "the bodies of other requests fill the memory that there is for them",
                retry=True,
            )
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        self._left += size


class IncomingBody:
    """The body of one request, while the job that it asks for is not accepted yet: a `with` block."""

    def __init__(self, budget: Incoming) -> None:
        self._budget = budget
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the bytes back."""
        self._budget.give_back(self._taken)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until no other large body is parsed and written: that takes several times its size."""
        return nullcontext() if self._taken < _LARGE else self._budget.turn

    async def read(self, request: web.Request) -> bytes:
        """Return the bytes as they came; raise ApiError if they are too many, or come too slowly."""
        announced = request.content_length
        if announced is not None and announced > self._budget.max_body:
            raise _too_large(f"the body has {announced} bytes", self._budget.max_body)
        pieces = []
        async for piece in _at_a_pace(request.content):
            self._take(len(piece), "the body")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def unpack(self, packed: bytes) -> bytes:
        """Return what gzip has packed (RFC 1952); raise ApiError if it is damaged, or too large."""
        unpacking = zlib.decompressobj(wbits=_GZIP)
        pieces = []
        self._budget.give_back(self._taken)
        self._taken = 0
        try:
            while not unpacking.eof and packed:
                piece = unpacking.decompress(packed, _PIECE)
                self._take(len(piece), "the unpacked body")
                pieces.append(piece)
                packed = unpacking.unconsumed_tail
                await asyncio.sleep(0)  # a piece takes less than 1 ms; a thread's memory is not given back
        except zlib.error as error:
            raise ApiError(400, "INVALID_INPUT", f"the body is not valid gzip: {error}") from None
        if not unpacking.eof or unpacking.unused_data:
            raise ApiError(400, "INVALID_INPUT", "the body is not one complete gzip stream")
        return b"".join(pieces)

    def _take(self, size: int, what: str) -> None:
        if self._taken + size > self._budget.max_body:
            raise _too_large(f"{what} is larger", self._budget.max_body)
        self._budget.take(size)
        self._taken += size


def _too_large(what: str, limit: int) -> ApiError:
    return ApiError(413, "TOO_LARGE", f"{what}, and {limit} bytes are allowed")


async def _at_a_pace(content: StreamReader) -> AsyncIterator[bytes]:
    """Yield the pieces of a body; raise ApiError if they come too slowly."""
    loop = asyncio.get_running_loop()
    deadline = 0.0
    while True:
        if content.is_eof():  # all of it has come: most bodies are complete when their request begins
            if piece := content.read_nowait():
                yield piece
            return
        deadline = deadline or loop.time() + PATIENCE
        try:
            async with asyncio.timeout_at(deadline):
                piece = await content.readany()
        except TimeoutError:
            raise ApiError(
                408, "TOO_SLOW", f"the body comes at less than {PACE} bytes a second, or not at all"
            ) from None
        if piece:
            deadline = min(deadline + len(piece) / PACE, loop.time() + PATIENCE)
            yield piece
