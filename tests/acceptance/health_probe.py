"""A probe of the engine's health: how long it takes to answer, asked 50 times a second."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_INTERVAL = 0.02


class HealthProbe:
    """Asks for the health every 20 ms, in a thread, from `with` to its end."""

    def __init__(self, url: str) -> None:
        self.seconds: list[float] = []
        """How long each answer took."""
        self.statuses: set[int] = set()
        self._address = urlsplit(url).netloc
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)

    @property
    def p99(self) -> float:
        """Return the time, in seconds, that 99 of 100 answers did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * 0.99)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _probe(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        while not self._over.wait(_INTERVAL):
            begun = time.monotonic()
            try:
                connection.request("GET", "/-/health")
                answer = connection.getresponse()
                answer.read()
                self.statuses.add(answer.status)
            except OSError:
                self.statuses.add(0)
                connection.close()
            self.seconds.append(time.monotonic() - begun)
        connection.close()
