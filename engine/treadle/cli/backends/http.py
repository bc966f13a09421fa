"""The HTTP backend: the jobs of a server, over the first generation of the Service API."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import orjson

from treadle.cli.backends.base import Request
from treadle.interface.errors import TreadleError

_LONG_POLL = 50.0
"""Seconds of one long poll."""
_RESPONSE_TIMEOUT = 30.0
"""Seconds for a response, beyond those of a long poll."""


class HttpBackend:
    """The jobs of one service of a server."""

    def __init__(self, url: str, service: str | None) -> None:
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise TreadleError(f"{url!r} is not an http:// or https:// URL")
        self._url = url.rstrip("/")
        self._base = self._url + (f"/services/{urllib.parse.quote(service, safe='')}" if service else "")

    def submit(self, request: Request) -> str:
        """Submit a job and return its id."""
        if request.name is not None:
            raise TreadleError("--name needs --spool: over HTTP the engine makes the id")
        fields = request.options()
        for name in ("data", "params"):
            if payload := bytes(getattr(request, name)):
                fields[name] = orjson.Fragment(payload)
        return str(self._json("POST", "", orjson.dumps(fields))["id"])

    def status(self, job: str) -> dict[str, Any]:
        """Return the job as the API's JSON object."""
        return self._json("GET", f"/{_quote(job)}")

    def wait(self, job: str, timeout: float | None) -> dict[str, Any]:
        """Return the job when it has ended, or as it is after `timeout` seconds, by long polling."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LONG_POLL if end is None else max(0.0, min(_LONG_POLL, end - time.monotonic()))
            status = self._json("GET", f"/{_quote(job)}?wait={left:.3f}")
            if status["endedAt"] or left < _LONG_POLL:
                return status

    def result(self, job: str) -> bytes:
        """Return the result's JSON."""
        return self._ask("GET", f"/{_quote(job)}/result")

    def interim(self, job: str, last: bool) -> bytes:
        """Return the JSON of all interim results, or of the newest one."""
        return self._ask("GET", f"/{_quote(job)}/interim-results?last={str(last).lower()}")

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel the job and return it."""
        return self._json("PUT", f"/{_quote(job)}/cancel")

    def jobs(self) -> list[dict[str, Any]]:
        """Raise TreadleError: the API has no list of jobs."""
        raise TreadleError("the first generation of the Service API has no list of jobs: use --spool")

    def _json(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        answer = json.loads(self._ask(method, path, body))
        if not isinstance(answer, dict):
            raise TreadleError(f"{self._base} does not answer like a service: check --url and --service")
        return answer

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = self._base + (path or "/")
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310  # the scheme has been checked
        try:
            with urllib.request.urlopen(request, timeout=_LONG_POLL + _RESPONSE_TIMEOUT) as answer:  # noqa: S310  # likewise
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                raise TreadleError(_explain(error.code, error.read())) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise TreadleError(
                f"{self._url} can't be reached: {reason}; is `treadle serve` running?"
            ) from None


def _quote(job: str) -> str:
    return urllib.parse.quote(job, safe="")


def _explain(status: int, body: bytes) -> str:
    try:
        fields = json.loads(body)
        where = f" (at {fields['path']})" if "path" in fields else ""
        return f"{fields['detail']}{where}"
    except (ValueError, TypeError, KeyError):
        return f"the server answered {status}"
