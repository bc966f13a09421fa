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

import orjson

from tests.bench.client import Answer, Client
from tests.bench.measure import LaneFailed

_TREADLE = Path(sys.executable).with_name("treadle")


class TreadleLane:
    """A server of one project on a spool of its own, from `async with` to its end."""

    at_a_time = None

    def __init__(
        self,
        project: Path,
        spool: Path,
        jobs: int,
        *options: str,
        name: str = "treadle",
        treadle: Path = _TREADLE,
    ) -> None:
        """Measure an executable of Treadle; by default the one of this checkout."""
        self.name = name
        self._treadle = treadle
        self._arguments = ["serve", str(project), "--spool", str(spool), "--port", "0", "--jobs", str(jobs)]
        self._arguments += options
        self._process: asyncio.subprocess.Process | None = None
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            self._treadle, *self._arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if b"http://" in line:
                host, _, port = line.decode().split("http://")[1].split()[0].rstrip("/").rpartition(":")
                self._client = Client(host, int(port))
                return self
        raise RuntimeError("treadle serve did not start")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        assert self._process is not None
        self._client.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()

    async def submit(self, data: dict[str, object]) -> str:
        """Submit a job; it is durable when this returns."""
        answer = await self._ask("POST", "/", orjson.dumps({"data": data, "params": {}}))
        if answer.status != HTTPStatus.CREATED:
            raise LaneFailed(f"it answered {answer.status}: {answer.body[:200]!r}")
        return str(answer.json["id"])

    async def result(self, job: str) -> object:
        """Wait for a job and return its result."""
        while True:
            answer = await self._ask("GET", f"/{job}/result?wait=60")
            said: object = answer.json
            if answer.status != HTTPStatus.NOT_FOUND or answer.json["code"] != "NO_RESULT":
                return said

    async def jobs(self) -> dict[str, int]:
        """Return how many jobs wait and run."""
        return dict((await self._ask("GET", "/-/health")).json["jobs"])

    def send(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def run(self, data: dict[str, object]) -> object:
        """Run one job from its submission to its result."""
        return await self.result(await self.submit(data))

    async def _ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        assert self._client is not None
        return await self._client.ask(method, path, body)
