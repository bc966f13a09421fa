"""Long polling: the time that a client is willing to wait, from its request."""

from __future__ import annotations

import re

from aiohttp import web

from treadle.api.errors import ApiError

LONGEST = 60.0
"""Seconds; a longer wait is reduced to this."""

_PREFER = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


def wanted_wait(request: web.Request) -> tuple[float, dict[str, str]]:
    """Return the seconds to wait, from `?wait=` or `Prefer: wait=` (RFC 7240), and response headers."""
    if (text := request.query.get("wait")) is not None:
        return min(_seconds(text), LONGEST), {}
    if preference := _PREFER.search(request.headers.get("Prefer", "")):
        wait = min(float(preference[1]), LONGEST)
        return wait, {"Preference-Applied": f"wait={wait:g}"}
    return 0.0, {}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ApiError(400, "INVALID_INPUT", f"wait must be a number of seconds, not {text!r}", "?wait")
    return seconds
