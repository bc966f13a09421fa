"""The Service API, first generation: one service's executions.

Long polling (`?wait=`, `Prefer: wait=`), `/events` and the fields `priority`, `timeout` and `labels` are
ours, on top; a client that does not know them misses nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from treadle.api.body import read_body, to_descriptor
from treadle.api.errors import ApiError, answer
from treadle.api.openapi import describe
from treadle.api.sse import last_heard, stream
from treadle.api.waiting import wanted_wait
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.watch.changes import Changes
from treadle.watch.completions import Completions
from treadle.watch.job_events import JobEvents
from treadle_spool import Descriptor, Spool, Status, UnknownJob

_SENDFILE = 1024 * 1024
"""Bytes of a result from which on the kernel sends the file itself."""
_SMALL = 16 * 1024
"""Bytes of a body up to which it is read in no time worth mentioning."""
_CANCEL_PATIENCE = 2.0
"""Seconds that a cancel waits for the job's end, so that its answer normally tells it."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the handlers of every service need."""

    spool: Spool
    submit: Callable[[Descriptor], Awaitable[Status]]
    completions: Completions
    settings: Settings
    changes: Changes


class ServiceV1:
    """The handlers of one service below one base path."""

    def __init__(self, service: Service, base: str, shared: Shared) -> None:
        self._service = service
        self._base = base
        self._spool = shared.spool
        self._done = str(shared.spool.done)
        self._shared = shared

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield the routes; any number of slashes separates the parts, since clients send what they like."""
        root = f"{self._base}/{{s1:/*}}"
        job = f"{root}{{id:[^/]+}}"
        end = "{s3:/*}"
        yield web.get(f"{root}openapi.json", self.openapi)
        for base in filter(None, (self._base, root)):
            yield web.get(base, self.health)
            yield web.post(base, self.submit)
        yield web.get(f"{job}{end}", self.status)
        yield web.get(f"{job}/{{s2:/*}}result{end}", self.result)
        yield web.get(f"{job}/{{s2:/*}}interim-results{end}", self.interim_results)
        yield web.get(f"{job}/{{s2:/*}}events{end}", self.events)
        yield web.put(f"{job}/{{s2:/*}}cancel{end}", self.cancel)

    async def health(self, _: web.Request) -> web.Response:
        """Say that the service is there."""
        return answer({"status": "Service is up and running"})

    async def openapi(self, _: web.Request) -> web.Response:
        """Describe all this."""
        return answer(describe(self._service, self._base))

    async def submit(self, request: web.Request) -> web.Response:
        """Accept a job: durable when 201 is answered."""
        status = await self._shared.submit(await self._read(await read_body(request)))
        return answer(job_body(status), 201, {"Location": f"{self._base}/{status.id}"})

    async def status(self, request: web.Request) -> web.Response:
        """Return the job, at once or when it has ended."""
        wait, headers = wanted_wait(request)
        return answer(job_body(await self._find(request, wait)), headers=headers)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Return exactly what the program returned, or the failure's body."""
        wait, headers = wanted_wait(request)
        status = await self._find(request, wait)
        path = f"{self._done}/{status.id}/result.json"
        try:
            small = _read_small(path)
        except FileNotFoundError:
            raise ApiError(
                404, "NO_RESULT", f"job {status.id} has no result: it is {status.status}"
            ) from None
        if small is not None:
            return answer(small, headers=headers)
        headers["Content-Type"] = "application/json"
        return web.FileResponse(path, headers=headers)

    async def interim_results(self, request: web.Request) -> web.Response:
        """Return all interim results, or the newest one alone."""
        only_last = _flag(request, "last")
        status = await self._find(request, 0)
        values = await asyncio.to_thread(self._interim_values, status.id)
        if not only_last:
            return answer(b"[" + b",".join(values) + b"]")
        if not values:
            raise ApiError(404, "NO_INTERIM_RESULT", f"job {status.id} has no interim result so far")
        return answer(values[-1])

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell what happens to the job, as it happens, from where the client has stopped listening."""
        position = last_heard(request)
        status = await self._find(request, 0)
        return await stream(request, JobEvents(self._spool, status.id, position), self._shared.changes)

    async def cancel(self, request: web.Request) -> web.Response:
        """Ask for the job's end: a waiting job never starts, a running one is stopped."""
        status = await self._find(request, 0)
        await asyncio.to_thread(self._spool.ask_to_cancel, status.id)
        return answer(job_body(await self._shared.completions.status(status.id, _CANCEL_PATIENCE)))

    async def _read(self, text: bytes) -> Descriptor:
        """Return the job that a body asks for; a thread reads one that is large or refers to a file."""
        settings = self._shared.settings
        read = partial(to_descriptor, self._service.name, text, settings.data_pools, settings.max_body)
        return read() if len(text) <= _SMALL and b"dataRef" not in text else await asyncio.to_thread(read)

    async def _find(self, request: web.Request, wait: float) -> Status:
        """Return the job that the URL names; one of another service is not found here."""
        status = await self._shared.completions.status(request.match_info["id"], wait)
        if status.service != self._service.name:
            raise UnknownJob(f"no job named {status.id!r} of service {self._service.name!r}")
        return status

    def _interim_values(self, name: str) -> list[bytes]:
        """Return the interim results so far; the job's folder may move from run/ to done/ meanwhile."""
        for _ in range(2):
            with suppress(FileNotFoundError):
                return _lines(self._spool.folder(name) / "interim.jsonl")
        return []


def job_body(status: Status) -> dict[str, Any]:
    """Return a job as the API shows it."""
    return {
        "id": status.id,
        "status": status.status,
        "createdAt": _time(status.created),
        "startedAt": _time(status.started),
        "endedAt": _time(status.ended),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def _flag(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise ApiError(400, "INVALID_INPUT", f"{name} must be true or false, not {value!r}", f"?{name}")
    return value == "true"


def _read_small(path: str) -> bytes | None:
    """Return the content of a file that nobody writes to any more; None if the kernel had better send it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        return os.read(fd, size) if size <= _SENDFILE else None
    finally:
        os.close(fd)


def _lines(path: Path) -> list[bytes]:
    """Return the complete lines; the last one may just be being written."""
    return path.read_bytes().split(b"\n")[:-1]
