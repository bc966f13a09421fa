"""The connection to a Podman service: podman-py's client, called in threads."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import IO, TypeVar

import requests
import urllib3
from podman import PodmanClient
from podman.errors import APIError, PodmanError

from treadle_containers import Address, EngineError, Report
from treadle_podman.threads import in_thread

Answer = TypeVar("Answer")


class Connection:
    """A client that is made at the first call, lives until `close`, and is used by several threads."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: PodmanClient | None = None

    async def call(self, request: Callable[[PodmanClient], Answer]) -> Answer:
        """Call a function with the client in a thread, and return its result.

        Its errors are translated into EngineError and EngineUnreachable.
        """

        def guarded() -> Answer:
            try:
                return request(self._open())
            except EngineError:
                raise
            except APIError as error:
                if error.response is None:
                    raise self._address.unreachable(explanation(error)) from error
                raise EngineError(explanation(error)) from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise self._address.unreachable(str(error)) from error
            except (PodmanError, ValueError) as error:
                raise EngineError(str(error)) from error

        return await in_thread(guarded)

    async def post(
        self, path: str, options: Mapping[str, str], body: IO[bytes] | None, report: Report
    ) -> None:
        """Send a request that takes long, and report the lines of its response.

        When the task is cancelled the connection is closed, and Podman gives the work up.
        """
        loop = asyncio.get_running_loop()
        connections: list[HTTPConnection] = []

        def post(podman: PodmanClient) -> None:
            headers = {"Content-type": "application/x-tar"}
            response = podman.api.post(path, params=dict(options), data=body, headers=headers, stream=True)
            response.raise_for_status()
            connections.append(response.raw.connection)
            for line in response.iter_lines():
                event = json.loads(line)
                if event.get("error"):
                    raise EngineError(event["error"])
                if progress := (event.get("stream") or "").strip():
                    loop.call_soon_threadsafe(report, progress)

        try:
            await self.call(post)
        except asyncio.CancelledError:
            for connection in connections:
                connection.sock.shutdown(socket.SHUT_RDWR)
            raise

    def close(self) -> None:
        """Close the client; a later call opens it again."""
        if self._client is not None:
            self._client.api.close()
            self._client = None

    def _open(self) -> PodmanClient:
        if self._client is None:
            self._client = PodmanClient(base_url=self._address.places()[0])
        return self._client


def explanation(error: APIError) -> str:
    """Return the message of a response that is an error."""
    return error.explanation or str(error)
