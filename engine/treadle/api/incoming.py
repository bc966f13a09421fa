"""The bytes of requests' bodies: at a pace, within a size, and within a budget for all of them together.

A small body is in memory until its job is accepted. A large one goes to a file in tmp/ as it comes, and a
process of its own reads it from there (intake/composing.py): then it is in memory several times over. So what
all requests may have at a time is bounded, and a further one gets 503. Bytes are counted as they come: a
client that only announces a large body takes nothing from the others.

A client has `PATIENCE` seconds for each pause, and must come up to `PACE` over time: what it sends extends
its deadline, but never beyond `PATIENCE` from now. So one that stops or trickles is refused within that time.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import StreamReader, web

from treadle.api.errors import ApiError
from treadle_spool import durable
from treadle_spool.draft import LARGE

PATIENCE = 10.0
"""Seconds that a client may send nothing."""
PACE = 8 * 1024
"""Bytes that a client must send in a second, over `PATIENCE` seconds."""
_LEAST = 128 * 1024 * 1024
"""Bytes that the bodies of all requests may have at a time, at least; two of the largest fit."""
_GZIP = 16 + zlib.MAX_WBITS
"""The value of zlib's wbits for the gzip format."""
_PIECE = 256 * 1024
"""Bytes that are unpacked at a time."""


class Incoming:
    """The budget of one application for the bodies of its requests; used in the event loop."""

    def __init__(self, max_body: int, check_room: Callable[[], None], new_path: Callable[[], Path]) -> None:
        """Take the limit of one body, and new_path, which returns an unused path for a file of one.

        check_room is called before such a file is made, and raises where a job would be refused.
        """
        self.max_body = max_body
        self.check_room = check_room
        self.new_path = new_path
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
                "the bodies of other requests fill the room that there is for them",
                retry=True,
            )
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        self._left += size


class IncomingBody:
    """The body of one request, while the job that it asks for is not accepted yet: an `async with` block."""

    def __init__(self, budget: Incoming) -> None:
        self.size = 0
        """Bytes that have come, unpacked."""
        self._budget = budget
        self._pieces: list[bytes] = []
        """What has come and is not in the file."""
        self._path: Path | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the bytes back, and remove the file."""
        self._budget.give_back(self.size)
        if self._path is not None:
            await asyncio.to_thread(self._remove)

    async def read(self, request: web.Request, *, packed: bool) -> bytes | Path:
        """Return the bytes as they came, unpacked, or the file that has them if they are many.

        Raises ApiError if they are too many, come too slowly, or are not what gzip has packed (RFC 1952).
        Raises OSError, and what check_room raises.
        """
        announced = request.content_length
        if announced is not None and announced > self._budget.max_body:
            raise self._too_large(f"the body has {announced} bytes")
        pieces = _at_a_pace(request.content)
        waiting = 0
        async for piece in self._unpack(pieces) if packed else pieces:
            self._take(len(piece), "the unpacked body" if packed else "the body")
            self._pieces.append(piece)
            waiting += len(piece)
            if waiting > LARGE:
                await self._write()
                waiting = 0
        if self._path is not None:
            return await self._write()
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def to_file(self, content: bytes) -> Path:
        """Write a body to a file that was read as bytes, and return its path."""
        self._pieces = [content]
        return await self._write()

    async def _unpack(self, packed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        unpacking = zlib.decompressobj(wbits=_GZIP)
        came = 0
        async for piece in packed:
            came += len(piece)
            if came > self._budget.max_body:
                raise self._too_large("the body is larger")
            if unpacking.eof:
                raise _incomplete()
            try:
                for unpacked in _unpacked(unpacking, piece):
                    yield unpacked
                    await asyncio.sleep(0)  # a piece takes less than 1 ms
            except zlib.error as error:
                raise ApiError(400, "INVALID_INPUT", f"the body is not valid gzip: {error}") from None
        if not unpacking.eof or unpacking.unused_data:
            raise _incomplete()

    def _take(self, size: int, what: str) -> None:
        if self.size + size > self._budget.max_body:
            raise self._too_large(f"{what} is larger")
        self._budget.take(size)
        self.size += size

    def _too_large(self, what: str) -> ApiError:
        return ApiError(413, "TOO_LARGE", f"{what}, and {self._budget.max_body} bytes are allowed")

    async def _write(self) -> Path:
        """Append what has come to the file, and return its path."""
        if self._path is None:
            self._budget.check_room()
            self._path = self._budget.new_path()
        path = self._path
        pieces, self._pieces = self._pieces, []
        await asyncio.to_thread(_append, path, pieces)
        return path

    def _remove(self) -> None:
        assert self._path is not None
        with suppress(OSError):  # the next sweep removes it
            self._path.unlink()


def _append(path: Path, pieces: Iterable[bytes]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for piece in pieces:
            durable.write_all(fd, piece)
    finally:
        os.close(fd)


def _incomplete() -> ApiError:
    return ApiError(400, "INVALID_INPUT", "the body is not one complete gzip stream")


def _unpacked(unpacking: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Yield what a piece of a gzip stream unpacks to, in pieces; what follows the stream is left."""
    while packed and not unpacking.eof:
        yield unpacking.decompress(packed, _PIECE)
        packed = unpacking.unconsumed_tail


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
