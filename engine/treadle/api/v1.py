"""The Service API, first generation: the executions of one service.

Long polling (`?wait=`, `Prefer: wait=`), `/events` and the fields `priority`, `timeout` and `labels` are
extensions of Treadle. A client that does not know them works without them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import cached_property

import msgspec
from aiohttp import web

from treadle.api.answers import UP, HealthBody, JobBody
from treadle.api.body import submit_body
from treadle.api.errors import ApiError, answer
from treadle.api.incoming import Incoming
from treadle.api.openapi import describe
from treadle.api.sending import send
from treadle.api.sse import requested_position, stream
from treadle.api.waiting import wanted_wait
from treadle.intake.gateway import Gateway
from treadle.intake.posted import Posting
from treadle.interface.service import Service
from treadle.watch.job_events import JobEvents
from treadle_spool import Status, UnknownJob
from treadle_spool.folder import RESULT
from treadle_spool.interim_list import InterimList
from treadle_spool.untrusted import open_regular

_SENDFILE_SIZE = 1024 * 1024
"""Bytes of a result; a larger one is sent by sendfile(2)."""
_CANCEL_WAIT = 2.0
"""Seconds that a cancel request waits for the job's end, so that its response normally shows it."""


class ServiceV1:
    """The handlers of one service below one base path, for the lifetime of an application.

    They run in the event loop, and have no state but the spool: any process may serve any request.
    """

    def __init__(self, service: Service, base: str, gateway: Gateway, incoming: Incoming) -> None:
        self._service = service
        self._incoming = incoming
        self._base = base
        self._spool = gateway.spool
        self._done = str(gateway.spool.done)
        self._gateway = gateway
        pools = gateway.settings.data_pools
        self._posting = Posting(
            service.name, None if pools is None else str(pools), gateway.settings.max_body
        )

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield the routes. One or more slashes separate the parts of a path: some clients send several."""
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
        """Answer that the service is up."""
        return answer(HealthBody(status=UP))

    async def openapi(self, _: web.Request) -> web.Response:
        """Return the service's OpenAPI document."""
        return answer(self._document)

    @cached_property
    def _document(self) -> bytes:
        """The OpenAPI document as JSON. It does not change: it is made at the first request."""
        return msgspec.json.encode(describe(self._service, self._base))

    async def submit(self, request: web.Request) -> web.Response:
        """Accept a job; it is durable before 201 is answered."""
        async with self._incoming.body() as body:
            status = await submit_body(request, body, self._posting, self._gateway)
        return answer(JobBody.of(status), 201, {"Location": f"{self._base}/{status.id}"})

    async def status(self, request: web.Request) -> web.Response:
        """Return the job at once, or when it has ended or the client's wait is over."""
        wait, headers = wanted_wait(request)
        return answer(JobBody.of(await self._find(request, wait)), headers=headers)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Return the bytes that the program returned, or the body of the failure."""
        wait, headers = wanted_wait(request)
        status = await self._find(request, wait)
        path = f"{self._done}/{status.id}/{RESULT}"
        try:
            raw = _read_small(path)
        except FileNotFoundError:
            raise ApiError(
                404, "NO_RESULT", f"job {status.id} has no result: it is {status.status}"
            ) from None
        if raw is not None:
            return answer(raw, headers=headers)
        headers["Content-Type"] = "application/json"
        return web.FileResponse(path, headers=headers)

    async def interim_results(self, request: web.Request) -> web.StreamResponse:
        """Return all interim results, or only the newest one."""
        only_last = _flag(request, "last")
        status = await self._find(request, 0)
        longest = status.attempts[-1].longest_output if status.attempts else 0
        with await asyncio.to_thread(InterimList.open, self._spool, status.id, longest) as interim:
            if not only_last:
                return await send(request, interim.length, interim.pieces())
            if (last := await asyncio.to_thread(interim.last)) is None:
                raise ApiError(404, "NO_INTERIM_RESULT", f"job {status.id} has no interim result so far")
            return await send(request, *last)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream the job's events, from the position of the client's last event on."""
        position = requested_position(request)
        status = await self._find(request, 0)
        return await stream(request, JobEvents(self._spool, status.id, position), self._gateway.changes)

    async def cancel(self, request: web.Request) -> web.Response:
        """Request the job's end: a waiting job never starts, a running one is stopped."""
        status = await self._find(request, 0)
        await asyncio.to_thread(self._spool.ask_to_cancel, status.id)
        return answer(JobBody.of(await self._gateway.completions.status(status.id, _CANCEL_WAIT)))

    async def _find(self, request: web.Request, wait: float) -> Status:
        """Return the job that the URL names; raise UnknownJob for a job of another service."""
        status = await self._gateway.completions.status(request.match_info["id"], wait)
        if status.service not in {self._service.name, ""}:  # a program may have damaged all that tells of it
            raise UnknownJob(f"no job named {status.id!r} of service {self._service.name!r}")
        return status


def _flag(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise ApiError(400, "INVALID_INPUT", f"{name} must be true or false, not {value!r}", f"?{name}")
    return value == "true"


def _read_small(path: str) -> bytes | None:
    """Return the content of a file that is written no more; None if it is large enough for sendfile."""
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        return os.read(fd, size) if size <= _SENDFILE_SIZE else None
    finally:
        os.close(fd)
