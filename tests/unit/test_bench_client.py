"""The benchmark's HTTP client."""

from __future__ import annotations

import asyncio

import pytest

from tests.bench.client import Client
from tests.bench.measure import LaneFailed
from treadle.testing import until

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n42"


async def test_a_connection_that_the_server_has_closed_is_not_used_again():
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(_ANSWER)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        client = Client(*server.sockets[0].getsockname())
        for _ in range(2):
            answer = await asyncio.wait_for(client.ask("GET", "/"), 5)
            assert (answer.status, answer.json) == (200, 42)
            await until(lambda: not any(each.is_open() for each in client._all), "the end of the connection")
        client.close()
    assert len(connections) == 2


async def test_a_connection_that_is_closed_before_the_answer_fails_the_lane():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        client = Client(*server.sockets[0].getsockname())
        with pytest.raises(LaneFailed, match="closed"):
            await asyncio.wait_for(client.ask("GET", "/"), 5)
        client.close()
