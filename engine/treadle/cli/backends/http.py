"""The HTTP backend: the jobs of a server, over the first generation of the Service API."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import orjson

from treadle.cli.backends.base import Request
from treadle.cli.backends.server import NotFound, ServerUrl
from treadle.cli.spools import complete, ids_of
from treadle.interface.errors import TreadleError
from treadle_spool import InvalidDescriptor, State, check_name, decode_from_client

Value = TypeVar("Value")

_LONG_POLL = 50.0
"""Seconds of one long poll."""
_SHORT = 0.2
"""Seconds between two polls of a server that answers at once, whatever it is asked to wait."""
_ENDED = {state.value for state in State if state.ended}


class HttpBackend:
    """The jobs of one service of a server."""

    def __init__(self, url: str, service: str | None) -> None:
        self._server = ServerUrl(url, "" if service is None else f"/services/{_quote(service)}")

    def submit(self, request: Request, *, patient: bool) -> str:  # its server is there, or is not
        """Submit a job and return its id."""
        if request.name is not None:
            raise TreadleError("--name needs --spool: over HTTP the engine makes the id")
        fields = request.options()
        for name in ("data", "params"):
            if payload := bytes(getattr(request, name)):
                fields[name] = orjson.Fragment(payload)
        return str(self._job(self._server.ask("POST", "", orjson.dumps(fields)))["id"])

    def status(self, job: str) -> dict[str, Any]:
        """Return the job as the API's JSON object."""
        return self._of(job, lambda path: self._job(self._server.ask("GET", path)))

    def wait(self, job: str, timeout: float | None) -> dict[str, Any]:
        """Return the job when it has ended, or as it is after `timeout` seconds, by long polling."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        status = self.status(job)
        path = f"/{_quote(status['id'])}"
        while status["status"] not in _ENDED and (now := time.monotonic()) < end:
            status = self._job(self._server.ask("GET", f"{path}?wait={min(_LONG_POLL, end - now):.3f}"))
            if status["status"] not in _ENDED and time.monotonic() - now < _SHORT:
                time.sleep(max(0.0, min(_SHORT, end - time.monotonic())))
        return status

    def result(self, job: str) -> bytes:
        """Return the result's JSON."""
        return self._of(job, lambda path: self._server.ask("GET", f"{path}/result"))

    def interim(self, job: str, last: bool) -> bytes:
        """Return the JSON of all interim results, or of the newest one."""
        query = f"/interim-results?last={str(last).lower()}"
        values = self._of(job, lambda path: self._server.ask("GET", path + query))
        if not _is_json(values) or not (last or values.startswith(b"[")):
            raise self._stranger()
        return values

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel the job and return it."""
        return self._of(job, lambda path: self._job(self._server.ask("PUT", f"{path}/cancel")))

    def jobs(self) -> list[dict[str, Any]]:
        """Raise TreadleError: the API has no list of jobs."""
        raise TreadleError("the first generation of the Service API has no list of jobs: use --spool")

    def _of(self, job: str, ask: Callable[[str], Value]) -> Value:
        """Ask about the job of this id; if there is none, about the only one whose id begins like this."""
        check_name(job)
        try:
            return ask(f"/{_quote(job)}")
        except NotFound:
            if (whole := self._complete(job)) is None:
                raise
        return ask(f"/{_quote(whole)}")

    def _complete(self, prefix: str) -> str | None:
        """Return the only id with this beginning, from the server's spool, if this user may read it here.

        The API tells no ids: whoever reaches it could then read everybody's results.
        """
        ids = ids_of(self._server.spool())
        return None if ids is None else complete(prefix, ids)

    def _job(self, raw: bytes) -> dict[str, Any]:
        """Return the job that a response holds; raise TreadleError if it holds none."""
        try:
            job = json.loads(raw)
        except (ValueError, RecursionError):
            job = None
        if not isinstance(job, dict) or not {"id", "status"} <= job.keys():
            raise self._stranger()
        return job

    def _stranger(self) -> TreadleError:
        return TreadleError(f"{self._server.base} does not answer like a service: check --url and --service")


def _is_json(raw: bytes) -> bool:
    try:
        decode_from_client(raw, msgspec.Raw)
    except InvalidDescriptor:
        return False
    return True


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
