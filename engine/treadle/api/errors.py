"""Errors as HTTP responses: a JSON body with `code` for programs, `detail` for people, and `path` if known.

Every exception of a handler becomes such a response in one middleware; the table is in `_explain`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from treadle.api.answers import ErrorBody
from treadle.intake.admission import DiskFull, QueueFull, ShuttingDown
from treadle.intake.catalogue import ServiceBroken
from treadle.support.retrying import FULL
from treadle_spool import InvalidDescriptor, NameTaken, UnknownJob, UnsafeName
from treadle_spool.errors import TooLarge

log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds after which a client that was refused may try again."""


_CODES = {413: "TOO_LARGE"}
"""The codes of errors that aiohttp raises as well, where they have a code of their own."""


class ApiError(Exception):
    """An error response, raised by a handler: the HTTP status, and the fields of its body.

    With retry the response has a Retry-After.
    """

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
    """Return a JSON response, of a struct or of plain values; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def error_response(error: ApiError) -> web.Response:
    """Return the response of an error; what is not valid UTF-8 in its text is replaced."""
    path = msgspec.UNSET if error.path is None else _utf8(error.path)
    body = ErrorBody(code=error.code, detail=_utf8(error.detail), path=path)
    return answer(body, error.status, error.headers)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def errors_as_json(refused: Callable[[str], None]) -> Middleware:
    """Return the middleware that turns exceptions into error responses; refused is called with each code."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:  # noqa: PLR2004  # a redirection, for instance, is no error
                raise
            api_error = of_aiohttp(error)
        except Exception as error:  # noqa: BLE001  # every request gets a response, also after a bug
            api_error = _explain(request, error)
        refused(api_error.code)
        return error_response(api_error)

    return middleware


def _explain(request: web.Request, error: Exception) -> ApiError:
    """Return the error response for an exception; an unexpected exception is logged."""
    match error:
        case ApiError():
            return error
        case InvalidDescriptor():
            return ApiError(400, "INVALID_INPUT", str(error), error.path)
        case TooLarge():
            return ApiError(413, "TOO_LARGE", str(error), error.path)
        case UnknownJob() | UnsafeName():
            return ApiError(404, "NOT_FOUND", str(error))
        case NameTaken():
            return ApiError(409, "NAME_TAKEN", str(error))
        case web.RequestPayloadError():
            return ApiError(400, "INVALID_INPUT", f"the body is malformed: {_first_line(error)}")
        case QueueFull():
            return ApiError(429, "QUEUE_FULL", str(error), retry=True)
        case ShuttingDown() | ServiceBroken():
            code = "SHUTTING_DOWN" if isinstance(error, ShuttingDown) else "SERVICE_BROKEN"
            return ApiError(503, code, str(error), retry=True)
        case DiskFull():
            return ApiError(507, "DISK_FULL", str(error))
        case ConnectionError() | TimeoutError() if request.transport is None:
            log.info("%s %s: the client has gone: %s", request.method, request.path, error)
            return ApiError(400, "CLIENT_GONE", "the client has closed the connection")
        case OSError(errno=number) if number in FULL:
            return ApiError(507, "DISK_FULL", f"the spool's disk is full: {error.strerror}")
        case OSError():
            log.error("%s %s: %s", request.method, request.path, error)
            return ApiError(503, "UNAVAILABLE", f"the spool can't be used: {error.strerror}", retry=True)
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return ApiError(500, "INTERNAL_ERROR", "an internal error; the engine's log has the traceback")


def malformed(what: BaseException | str | None) -> ApiError:
    """Return the error response for a request that is no HTTP."""
    detail = f"the request is not valid HTTP: {_first_line(what or 'it can not be read')}"
    return ApiError(400, "MALFORMED_REQUEST", detail)


def _first_line(what: BaseException | str) -> str:
    """Return the first line of aiohttp's message; further ones show bytes of the request."""
    return str(what).partition("\n")[0].rstrip(": ")


def of_aiohttp(error: web.HTTPException) -> ApiError:
    """Return the error response for an error that aiohttp itself raises."""
    detail = error.text or error.reason
    if isinstance(error, web.HTTPMethodNotAllowed):
        detail = f"{error.method} is not allowed here; use {', '.join(sorted(error.allowed_methods))}"
    code = _CODES.get(error.status) or error.reason.upper().replace(" ", "_")
    api_error = ApiError(error.status, code, detail)
    if "Allow" in error.headers:
        api_error.headers = {"Allow": error.headers["Allow"]}
    return api_error
