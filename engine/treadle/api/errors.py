"""Every error is a JSON body: `code` for programs, `detail` for people, `path` where there is one."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from treadle.admission import DiskFull, QueueFull
from treadle_spool import InvalidDescriptor, NameTaken, UnknownJob, UnsafeName

log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds after which a client that was turned away may try again."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    """The request can't be answered as it was meant."""

    def __init__(self, status: int, code: str, detail: str, path: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.path = path


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def refusal(
    status: int, code: str, detail: str, path: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error as every error looks."""
    fields = {"code": code, "detail": detail.encode("utf-8", "replace").decode()}
    if path is not None:
        fields["path"] = path.encode("utf-8", "replace").decode()
    return answer(fields, status, headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong below into an answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004  # redirections and the like are no errors
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return refusal(error.status, error.reason.upper().replace(" ", "_"), _detail(error), headers=allow)
    except Exception as error:  # noqa: BLE001  # the last word: a server answers, whatever happens
        return _explain(request, error)


def _explain(request: web.Request, error: Exception) -> web.Response:
    retry = {"Retry-After": str(RETRY_AFTER)}
    match error:
        case ApiError():
            return refusal(error.status, error.code, error.detail, error.path)
        case InvalidDescriptor():
            return refusal(400, "INVALID_INPUT", str(error), error.path)
        case UnknownJob() | UnsafeName():
            return refusal(404, "NOT_FOUND", str(error))
        case NameTaken():
            return refusal(409, "NAME_TAKEN", str(error))
        case QueueFull():
            return refusal(429, "QUEUE_FULL", str(error), headers=retry)
        case DiskFull():
            return refusal(507, "DISK_FULL", str(error))
        case OSError(errno=number) if number in _FULL:
            return refusal(507, "DISK_FULL", f"the spool's disk is full: {error.strerror}")
        case OSError():
            log.error("%s %s: %s", request.method, request.path, error)
            return refusal(503, "UNAVAILABLE", f"the spool can't be used: {error.strerror}", headers=retry)
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return refusal(500, "INTERNAL_ERROR", "this should not have happened; the engine's log says more")


def _detail(error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return error.text or "the body is too large"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{error.method} is not possible here; {', '.join(sorted(error.allowed_methods))} are"
    return error.text or error.reason
