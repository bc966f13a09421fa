"""As little of an HTTP client as a benchmark needs: it shares the CPUs with the server that is measured."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import orjson

from tests.bench.measure import LaneFailed

_HEAD = b"%b %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS = slice(len(b"HTTP/1.1 "), len(b"HTTP/1.1 200"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body's value."""
        return orjson.loads(self.body)


class Client:
    """Keeps connections to one server open, as many as there are requests at a time."""

    def __init__(self, host: str, port: int) -> None:
        """Connect when there is something to ask."""
        self._address = host, port
        self._free: list[_Connection] = []
        self._all: list[_Connection] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send a request and return the answer, whatever its status; raise OSError or LaneFailed."""
        connection = self._take_free() or await self._connect()
        head = _HEAD % (method.encode(), path.encode(), len(body))
        answer = await connection.ask(head + body)
        self._free.append(connection)
        return answer

    def close(self) -> None:
        """Close all connections."""
        for connection in self._all:
            connection.close()

    def _take_free(self) -> _Connection | None:
        while self._free:
            if (connection := self._free.pop()).is_open():  # servers close what is idle
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, *self._address)
        self._all.append(connection)
        return connection


class _Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def ask(self, request: bytes) -> Answer:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if (end := received.find(b"\r\n\r\n")) < 0:
            return
        length = _LENGTH.search(received, 0, end + 2)
        if length is None:
            self._fail(LaneFailed(f"it answered {bytes(received[:80])!r}"))
        elif len(received) >= (whole := end + 4 + int(length[1])):
            answer = Answer(int(received[_STATUS]), bytes(received[end + 4 : whole]))
            received.clear()
            if not self._answer.done():
                self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or LaneFailed("it closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)
