"""Requests that web pages make: refused, unless the page is one of this host's own.

A browser sends requests for whatever page is open. Two kinds reach an engine that has no tokens:

1. A page of another site posts a form, or text/plain: the browser sends it without asking first. It carries
   an `Origin`, and newer browsers add `Sec-Fetch-Site`.
2. A page whose host name was made to lead to this host (DNS rebinding): to the browser it is the engine's own
   page. Only `Host` tells: it is a name that this engine does not have.

So `Host` must be an IP address (nothing can be rebound to one), loopback, this host's own name, or a name of
the setting `hosts`. `Origin`, where there is one, must be the request's own host and port, or in `hosts`.
What no browser sends, such as curl's `-d` with its form's content type, carries no Origin and passes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from treadle.api.errors import ApiError

_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]+(?:%[\w.%~-]+)?\]|[^:\[\]/@\s]+)(?::(?P<port>\d{1,5}))?", re.ASCII
)
"""A value of `Host`. The zone of an IPv6 address (`%eth0`) is no part of it, but Python's clients send it."""
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SIMPLE = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
"""The content types that a browser posts to another site without asking first."""
_MOST_KNOWN = 1000
"""Values of `Host` whose outcome is kept."""


def refuse_web_pages(listen_host: str, hosts: Iterable[str]) -> Middleware:
    """Return the middleware that refuses requests of web pages of other sites."""
    names = _Names(listen_host, hosts)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        host = headers.get("Host")
        if host is not None and not names.has_seen(host):
            await names.check(host)
        if "Origin" in headers or "Sec-Fetch-Site" in headers:
            _check_page(request, host or "", names)
        return await handler(request)

    return middleware


class _Names:
    """The names that this host goes by, for the lifetime of an application."""

    def __init__(self, listen_host: str, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(_normal(each) for each in hosts)
        short = socket.gethostname().split(".")[0]
        self._own = {_normal(each) for each in (listen_host, socket.gethostname(), short) if each}
        self._full_name_is_known = False
        self._seen: set[str] = set()

    def has_seen(self, host: str) -> bool:
        """Return whether a value of `Host` was found to be right before."""
        return host in self._seen

    async def check(self, host: str) -> None:
        """Raise ApiError if a value of `Host` is no name of this host."""
        match = _HOST.fullmatch(host)
        if match is None:
            raise ApiError(400, "INVALID_HOST", f"the header Host is no name of a host: {host!r}")
        name = _normal(match["name"])
        if not (self._is_own(name) or await self._is_full_name(name)):
            raise ApiError(
                403,
                "UNKNOWN_HOST",
                f"this engine does not go by the name {match['name']!r}: use its address, or add the name "
                "to the setting `hosts`",
            )
        if len(self._seen) < _MOST_KNOWN:
            self._seen.add(host)

    def _is_own(self, name: str) -> bool:
        return (
            name == "localhost"
            or name.endswith(".localhost")
            or name in self._own
            or name in self.hosts
            or _is_address(name)
        )

    async def _is_full_name(self, name: str) -> bool:
        """Return whether it is this host's full name, which may have to be asked of a name server, once."""
        if not self._full_name_is_known:
            self._own.add(_normal(await asyncio.to_thread(socket.getfqdn)))
            self._full_name_is_known = True
        return name in self._own


def _check_page(request: web.Request, host: str, names: _Names) -> None:
    """Raise ApiError unless the page that made a request may make it."""
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise _foreign("a page of another site")
        return
    parts = _origin(origin)
    if parts is None or (parts[0] not in names.hosts and parts != _address(host, origin)):
        raise _foreign(repr(origin))
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and parts[0] not in names.hosts:
        raise _foreign(repr(origin))
    if request.method == "POST" and request.content_type in _SIMPLE and "Content-Type" in request.headers:
        raise ApiError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            f"a web page has to send JSON as application/json, not as {request.content_type}",
        )


def _foreign(page: str) -> ApiError:
    return ApiError(
        403,
        "FOREIGN_ORIGIN",
        f"the request was made by {page}: add the page's host to the setting `hosts` to allow it",
    )


def _origin(origin: str) -> tuple[str, str] | None:
    """Return the name and the port of an Origin; None for `null`, and for what is none."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return _normal(parts.hostname), str(port or _DEFAULT_PORTS[parts.scheme])


def _address(host: str, origin: str) -> tuple[str, str] | None:
    """Return the name and the port of a Host; one without a port has that of the origin's scheme."""
    if (match := _HOST.fullmatch(host)) is None:
        return None
    return _normal(match["name"]), match["port"] or _DEFAULT_PORTS[urlsplit(origin).scheme]


def _normal(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return name.strip("[]").rstrip(".").lower()


def _is_address(name: str) -> bool:
    if name.replace(".", "").isdecimal():  # also 127.1, which is short for 127.0.0.1
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
