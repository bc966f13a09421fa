"""The Service API, first generation: the executions of each service.

Long polling (`?wait=`, `Prefer: wait=`), `/events` and the fields `priority`, `timeout` and `labels` are
extensions of Treadle. A client that does not know them works without them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress

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
from treadle.intake.catalogue import ServiceBroken
from treadle.intake.gateway import Gateway
from treadle.intake.posted import Posting
from treadle.interface.service import Service
from treadle.watch.job_events import JobEvents
from treadle_spool import InvalidDescriptor, State, Status, UnknownJob
from treadle_spool.folder import RESULT
from treadle_spool.interim_list import InterimList
from treadle_spool.untrusted import open_regular

_SENDFILE_SIZE = 1024 * 1024
"""Bytes of a result; a larger one is sent by sendfile(2)."""
_CANCEL_WAIT = 2.0
"""Seconds that a cancel request waits for the job's end, so that its response normally shows it."""


class ServiceV1:
    """The handlers of all services, for the lifetime of an application.

    They run in the event loop, and have no state but the spool: any process may serve any request. Which
    service is meant, and whether it is served, is seen at each request. A job is found whether its service is
    served or not.
    """

    base = "/services/{service}"
    """The pattern of the path that the routes are below."""

    def __init__(self, gateway: Gateway, incoming: Incoming) -> None:
        self._incoming = incoming
        self._services = gateway.services
        self._spool = gateway.spool
        self._done = str(gateway.spool.done)
        self._gateway = gateway
        pools = gateway.settings.data_pools
        self._data_pools = None if pools is None else str(pools)
        self._documents: dict[str, tuple[Service, bytes]] = {}
        """The OpenAPI documents by service, each with the service that it was made of."""

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield the routes. One or more slashes separate the parts of a path: some clients send several."""
        root = f"{self.base}/{{s1:/*}}"
        job = f"{root}{{id:[^/]+}}"
        end = "{s3:/*}"
        yield web.get(f"{root}openapi.json", self.openapi)
        for base in filter(None, (self.base, root)):
            yield web.get(base, self.health)
            yield web.post(base, self.submit)
        yield web.get(f"{job}{end}", self.status)
        yield web.get(f"{job}/{{s2:/*}}result{end}", self.result)
        yield web.get(f"{job}/{{s2:/*}}interim-results{end}", self.interim_results)
        yield web.get(f"{job}/{{s2:/*}}events{end}", self.events)
        yield web.put(f"{job}/{{s2:/*}}cancel{end}", self.cancel)

    def name_of(self, request: web.Request) -> str:
        """Return the name of the service that a request's URL names."""
        return request.match_info["service"]

    def path_of(self, name: str) -> str:
        """Return the path that the URLs of a service's executions begin with."""
        return base_path(name)

    async def health(self, request: web.Request) -> web.Response:
        """Answer that the service is up."""
        self._served(self.name_of(request))
        return answer(HealthBody(status=UP))

    async def openapi(self, request: web.Request) -> web.Response:
        """Return the service's OpenAPI document; it is made at the first request."""
        service = self._served(self.name_of(request))
        of, document = self._documents.get(service.name, (None, b""))
        if of is not service:
            document = msgspec.json.encode(describe(service, self.path_of(service.name)))
            self._documents[service.name] = service, document
        return answer(document)

    async def submit(self, request: web.Request) -> web.Response:
        """Accept a job; it is durable before 201 is answered."""
        name = self._served(self.name_of(request)).name
        posting = Posting(name, self._data_pools, self._gateway.settings.max_body)
        async with self._incoming.body() as body:
            status = await submit_body(request, body, posting, self._gateway)
        return answer(JobBody.of(status), 201, {"Location": f"{self.path_of(name)}/{status.id}"})

    async def status(self, request: web.Request) -> web.Response:
        """Return the job at once, or when it has ended or the client's wait is over."""
        wait, headers = wanted_wait(request)
        return answer(self._body(await self._find(request, wait)), headers=headers)

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
        return answer(self._body(await self._gateway.completions.status(status.id, _CANCEL_WAIT)))

    def _body(self, status: Status) -> JobBody:
        """Return the body for a job; of a waiting one it says why, if that is for its service's sake."""
        waits = status.status is State.PENDING
        return JobBody.of(status, self._services.why_jobs_wait(status.service) if waits else None)

    async def _find(self, request: web.Request, wait: float) -> Status:
        """Return the job that the URL names; raise UnknownJob for a job of another service."""
        name = self.name_of(request)
        try:
            status = await self._gateway.completions.status(request.match_info["id"], wait)
        except UnknownJob:
            self._check_name(name)
            raise
        if status.service not in {name, ""}:  # a program may have damaged all that tells of it
            self._check_name(name)
            raise UnknownJob(f"no job named {status.id!r} of service {name!r}")
        return status

    def _check_name(self, name: str) -> None:
        """Raise ApiError for the name of a service that does not exist; one that is broken does."""
        with suppress(ServiceBroken):
            self._served(name)

    def _served(self, name: str) -> Service:
        """Return a service; raise ApiError if there is none of that name, and ServiceBroken."""
        try:
            return self._services.find(name).service
        except InvalidDescriptor as error:
            raise ApiError(404, "NOT_FOUND", str(error)) from None


class RootV1(ServiceV1):
    """The handlers below `/`: of the service that is served alone, or of a list of several."""

    base = ""

    def name_of(self, request: web.Request) -> str:
        """Return the name of the only service; raise ApiError if there are several."""
        if (name := self._services.only) is None:
            raise ApiError(404, "NOT_FOUND", "there are several services: name one, as in /services/<name>/")
        return name

    def path_of(self, name: str) -> str:
        """Return an empty path."""
        return ""

    async def health(self, request: web.Request) -> web.Response:
        """Answer that the only service is up, or where each of several is."""
        if self._services.only is None:
            return await self.overview(request)
        return await super().health(request)

    async def overview(self, _: web.Request) -> web.Response:
        """Return where each service is served, and why each broken one is not."""
        return answer(
            {
                "status": UP,
                "services": {name: base_path(name) for name in self._services},
                "broken": {each.name: each.reason for each in reversed(self._services.broken)},
            }
        )


def base_path(name: str) -> str:
    """Return where a service is served."""
    return f"/services/{name}"


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
