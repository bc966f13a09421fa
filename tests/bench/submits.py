"""Submitting alone: how near a durable accept over HTTP is to what the file system can do."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from tests.bench.measure import JOB, LaneFailed
from tests.bench.treadle_lane import TreadleLane

_WRITERS = 16
_BATCHES = 5
_BODY = orjson.dumps({"data": JOB})
_REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def submits(project: Path, folder: Path, jobs: int) -> str:
    """Submit many jobs to a process that runs none, and write as many files without any engine, in turn."""
    bare = _Bare(folder / "bare")
    over_http = alone = 0.0
    async with TreadleLane(project, folder / "spool", 2, "--api-only") as lane:
        for _ in range(_BATCHES):
            over_http += await _submit(lane, jobs // _BATCHES)
            alone += await asyncio.to_thread(bare.write, jobs // _BATCHES)
    number = jobs // _BATCHES * _BATCHES
    return "\n".join(
        [
            f"submitting alone, {_WRITERS} at a time",
            f"  treadle, over HTTP: {number / over_http:.0f} jobs/s",
            f"  bare fsync + link + fsync of the folder: {number / alone:.0f} files/s",
            f"  ratio {alone / over_http:.2f}",
        ]
    )


async def _submit(lane: TreadleLane, jobs: int) -> float:
    """Return the seconds that so many jobs take; the client costs little beside the server."""
    begun = time.perf_counter()
    left = iter(range(jobs))
    await asyncio.gather(*(_Submitter.work(lane.address, left) for _ in range(_WRITERS)))
    return time.perf_counter() - begun


class _Submitter(asyncio.Protocol):
    """A client that submits one job after the other on one connection, and reads no more than it must."""

    def __init__(self, left: Iterator[int]) -> None:
        self._left = left
        self._answer = b""
        self._transport: asyncio.Transport | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def work(cls, address: tuple[str, int], left: Iterator[int]) -> None:
        """Submit jobs until none is left; raise LaneFailed if one is not accepted."""
        transport, client = await asyncio.get_running_loop().create_connection(lambda: cls(left), *address)
        try:
            await client._over
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, _, body = self._answer.partition(b"\r\n\r\n")
        if (length := _LENGTH.search(head)) is None or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 201 "):
            self._end(LaneFailed(f"it answered {head[:80]!r}"))
            return
        self._answer = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or LaneFailed("it closed the connection"))

    def _next(self) -> None:
        assert self._transport is not None
        if next(self._left, None) is None:
            self._end(None)
        else:
            self._transport.write(_REQUEST)

    def _end(self, error: Exception | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)


class _Bare:
    """What a durable accept can't do without, by as many writers."""

    def __init__(self, folder: Path) -> None:
        self._staging, self._queue = folder / "tmp", folder / "queue"
        self._staging.mkdir(parents=True)
        self._queue.mkdir()
        self._numbers = itertools.count()

    def write(self, files: int) -> float:
        """Return the seconds that so many files take."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(self._one, itertools.islice(self._numbers, files)))
        return time.perf_counter() - begun

    def _one(self, number: int) -> None:
        staged = self._staging / str(number)
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, orjson.dumps(JOB))
        os.fsync(fd)
        os.close(fd)
        os.link(staged, self._queue / str(number))
        staged.unlink()
        fd = os.open(self._queue, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
