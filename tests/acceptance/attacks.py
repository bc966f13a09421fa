"""What attacks on a server have in common: its health is probed meanwhile, and its memory is watched."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.acceptance.server import Server

MIB = 1024 * 1024
_EVERY = 0.02
"""Seconds between two probes."""


@dataclass
class Probes:
    """The answers to the probes of one server's health."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    peak: int = 0
    """The most bytes that the server and its processes had in memory of their own."""

    def slowest(self, share: float = 0.99) -> float:
        """Return the time within which that share of the probes were answered."""
        assert not self.failures, self.failures[:3]
        assert self.seconds
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


@contextmanager
def probed(server: Server, *, ready: bool = True) -> Iterator[Probes]:
    """Ask for the server's health every 20 ms, each time over a new connection, until the block is left."""
    probes, over = Probes(), threading.Event()

    def probe() -> None:
        while not over.wait(_EVERY):
            begun = time.monotonic()
            try:
                status = _health(server)
            except OSError as error:
                probes.failures.append(repr(error))
            else:
                probes.seconds.append(time.monotonic() - begun)
                if ready and status != 200:
                    probes.failures.append(f"{status}")

    def watch() -> None:
        while not over.wait(_EVERY):
            probes.peak = max(probes.peak, memory(server))

    threads = [threading.Thread(target=each) for each in (probe, watch)]
    for thread in threads:
        thread.start()
    try:
        yield probes
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _health(server: Server) -> int:
    address = urllib.parse.urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=30)) as connection:
        connection.request("GET", "/-/health")
        answer = connection.getresponse()
        json.loads(answer.read())
        return answer.status


def memory(server: Server) -> int:
    """Return the bytes that a server and the processes that validate for it have in memory."""
    assert server.process is not None
    total = 0
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        engine = psutil.Process(server.process.pid)
        # A child that is being started has the engine's own memory until it executes its program.
        children = [each for each in engine.children() if each.cmdline() != engine.cmdline()]
        for process in (engine, *children):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    total += int(line.split()[1]) * 1024
    return total
