"""Treadle as its users meet it: `treadle serve`, spoken to over HTTP."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import orjson

_TREADLE = Path(sys.executable).with_name("treadle")


class TreadleLane:
    """A server of one project on a spool of its own, from `async with` to its end."""

    at_a_time = None

    def __init__(self, project: Path, spool: Path, jobs: int, *options: str, name: str = "treadle") -> None:
        self.name = name
        self._arguments = ["serve", str(project), "--spool", str(spool), "--port", "0", "--jobs", str(jobs)]
        self._arguments += options
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self.address = ("", 0)
        """The server's host and port, once it has been entered."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            _TREADLE, *self._arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if b"http://" in line:
                base = "http://" + line.decode().split("http://")[1].split()[0].rstrip("/")
                host, _, port = base.removeprefix("http://").rpartition(":")
                self.address = (host, int(port))
                connector = aiohttp.TCPConnector(limit=0)
                self._session = aiohttp.ClientSession(base, connector=connector)
                return self
        raise RuntimeError("treadle serve did not start")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        assert self._process is not None
        await self._session.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()

    async def submit(self, data: dict[str, object]) -> str:
        """Submit a job; it is durable when this returns."""
        assert self._session is not None
        async with self._session.post("/", data=orjson.dumps({"data": data, "params": {}})) as answer:
            answer.raise_for_status()
            return str((await answer.json())["id"])

    async def result(self, job: str) -> object:
        """Wait for a job and return its result."""
        assert self._session is not None
        while True:
            async with self._session.get(f"/{job}/result?wait=60") as answer:
                said = await answer.json()
                if answer.status != HTTPStatus.NOT_FOUND or said["code"] != "NO_RESULT":
                    answer.raise_for_status()
                    return said

    async def jobs(self) -> dict[str, int]:
        """Return how many jobs wait and run."""
        assert self._session is not None
        async with self._session.get("/-/health") as answer:
            return dict((await answer.json())["jobs"])

    def send(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def run(self, data: dict[str, object]) -> object:
        """Run one job from its submission to its result."""
        return await self.result(await self.submit(data))
