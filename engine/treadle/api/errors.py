"""Every error is a JSON body: `code` for programs, `detail` for people, `path` where there is one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from treadle.intake.admission import DiskFull, QueueFull, ShuttingDown
from treadle.support.retrying import FULL
from treadle_spool import InvalidDescriptor, NameTaken, UnknownJob, UnsafeName

log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds after which a client that was turned away may try again."""


class ApiError(Exception):
    """The request can't be answered as it was meant."""

    def __init__(
        self, status: int, code: str, detail: str, path: str | None = None, *, retry: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.path = path
        self.headers = {"Retry-After": str(RETRY_AFTER)} if retry else {}


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def refusal(error: ApiError) -> web.Response:
    """Return an error as every error looks."""
    fields = {"code": error.code, "detail": error.detail.encode("utf-8", "replace").decode()}
    if error.path is not None:
        fields["path"] = error.path.encode("utf-8", "replace").decode()
    return answer(fields, error.status, error.headers)


def errors_as_json(refused: Callable[[str], None]) -> Middleware:
    """Return the middleware that turns whatever goes wrong below into an answer; refused is told its code."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:  # noqa: PLR2004  # redirections and the like are no errors
                raise
            told = _of_aiohttp(error)
        except Exception as error:  # noqa: BLE001  # the last word: a server answers, whatever happens
            told = _explain(request, error)
        refused(told.code)
        return refusal(told)

    return middleware


def _explain(request: web.Request, error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case InvalidDescriptor():
            return ApiError(400, "INVALID_INPUT", str(error), error.path)
        case UnknownJob() | UnsafeName():
            return ApiError(404, "NOT_FOUND", str(error))
        case NameTaken():
            return ApiError(409, "NAME_TAKEN", str(error))
        case QueueFull():
            return ApiError(429, "QUEUE_FULL", str(error), retry=True)
        case ShuttingDown():
            return ApiError(503, "SHUTTING_DOWN", str(error), retry=True)
        case DiskFull():
            return ApiError(507, "DISK_FULL", str(error))
        case OSError(errno=number) if number in FULL:
            return ApiError(507, "DISK_FULL", f"the spool's disk is full: {error.strerror}")
        case OSError():
            log.error("%s %s: %s", request.method, request.path, error)
            return ApiError(503, "UNAVAILABLE", f"the spool can't be used: {error.strerror}", retry=True)
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return ApiError(500, "INTERNAL_ERROR", "this should not have happened; the engine's log says more")


def _of_aiohttp(error: web.HTTPException) -> ApiError:
    detail = error.text or error.reason
    if isinstance(error, web.HTTPMethodNotAllowed):
        detail = f"{error.method} is not possible here; {', '.join(sorted(error.allowed_methods))} are"
    told = ApiError(error.status, error.reason.upper().replace(" ", "_"), detail)
    if "Allow" in error.headers:
        told.headers = {"Allow": error.headers["Allow"]}
    return told
