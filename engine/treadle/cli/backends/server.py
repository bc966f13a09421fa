"""A server's URL, and requests to it: no proxy stands between this host and itself."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import msgspec

from treadle.interface.errors import TreadleError
from treadle.support.addresses import is_here

_TIMEOUT = 80.0
"""Seconds for a response: those of a long poll, and 30."""


class NotFound(TreadleError):
    """The server has no such job."""


class _ErrorBody(msgspec.Struct):
    """The body of an error of the Service API."""

    code: str
    detail: str
    path: str = ""


class _SpoolBody(msgspec.Struct):
    """The body of `/-/spool`."""

    path: str
    id: str


class ServerUrl:
    """The URL of a server and of one of its services, for the lifetime of a command."""

    def __init__(self, url: str, service: str) -> None:
        """Check the URL; service is the path below it. Raises TreadleError for no URL of a server."""
        parts = _split(url)
        self._root = url.rstrip("/")
        self._opener = urllib.request.build_opener(*_proxies(parts.hostname or ""))
        self.base = self._root + service

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Return the body of the response; raise NotFound or TreadleError, with the reason, for an error."""
        return self._ask(self.base + (path or "/"), method, body)

    def spool(self) -> tuple[Path, str] | None:
        """Return the folder and the id of the server's spool, if the server is on this host and tells."""
        try:
            raw = self._ask(f"{self._root}/-/spool", "GET", None)
            body = msgspec.json.decode(raw, type=_SpoolBody)
        except (TreadleError, msgspec.DecodeError, RecursionError):
            return None
        return Path(body.path), body.id

    def _ask(self, url: str, method: str, body: bytes | None) -> bytes:
        try:
            request = urllib.request.Request(url, data=body, method=method)  # noqa: S310  # the scheme has been checked
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            raise _explain(error) from None
        except TimeoutError:
            unknown = "; the job may have been accepted" if method == "POST" else ""
            raise TreadleError(f"{self._root} has not answered within {_TIMEOUT:g} s{unknown}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            reason = getattr(reason, "strerror", None) or reason
            raise TreadleError(
                f"{self._root} can't be reached: {reason}; is `treadle serve` running?"
            ) from None
        except ValueError as error:  # a host that no name may have, for instance
            raise TreadleError(f"{url!r} can't be asked for: {error}") from None


def _split(url: str) -> urllib.parse.SplitResult:
    """Return the parts of a server's URL; raise TreadleError if it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise TreadleError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise TreadleError(f"{url!r} is not an http:// or https:// URL")
    if parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise TreadleError(f"{url!r} is not the URL of a server: it must end with the host, or a path")
    return parts


def _proxies(host: str) -> list[urllib.request.BaseHandler]:
    """Return what keeps http_proxy and https_proxy from a server on this host."""
    return [urllib.request.ProxyHandler({})] if is_here(host) else []


def _explain(error: urllib.error.HTTPError) -> TreadleError:
    """Return the error that a response tells of."""
    try:
        with error:
            body = msgspec.json.decode(error.read(), type=_ErrorBody)
    except (msgspec.DecodeError, RecursionError, OSError, http.client.HTTPException):
        return TreadleError(f"the server answered {error.code}")
    where = f" (at {body.path})" if body.path else ""
    return (NotFound if body.code == "NOT_FOUND" else TreadleError)(f"{body.detail}{where}")
