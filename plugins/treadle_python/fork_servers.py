"""The engine's side of the fork servers: it starts, finds and replaces them, and sends attempts.

To start an attempt (`ForkServers.start`):

1. Take an idle supervisor of the service's fork server, the most recently used first.
2. If there is none, hold a lease of the server: connect to its abstract socket. If no process listens there,
   start a server, wait until its first process has exited, and connect. A server of an earlier engine is
   found by the same name. Then open one more connection, on which the server forks a supervisor.
3. Send the request, and wait for the first reply. OUTDATED, or a supervisor that has ended before: close all
   idle links and the lease of this server, and try again from 1. CANNOT_FORK: the server is unfit, and
   attempts are started without one (spawn).

The name of a server is a hash of everything that it is made for (`ForkServerSpec`). So another interpreter,
environment or preload means another server, and the old one ends when it is idle. A link that is idle for
some time is closed, and its supervisor ends.
A server that is unfit is tried again after some time, and each reason is logged once. Every step has a
timeout or a limit of tries: a server may end or be replaced at any moment, and it must not block a job.

Dropped: a connection for each attempt, to a supervisor that ran no other one; it costs a second fork and a
namespace for each job. To wait without a timeout for a server's report and for the first reply.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

from treadle_python.fork_server_process import ForkServerSpec, connect, is_listening, start_server
from treadle_python.requests import encode
from treadle_python.supervisor_link import SupervisedAttempt, SupervisorLink
from treadle_python.treadle_inside.protocol import CANNOT_FORK, LEASE, MAX_REQUEST, OUTDATED

log = logging.getLogger(__name__)

_UNFIT_RETRY_DELAY = 30.0
"""Seconds after which an unfit server is tried again: its code may have changed."""
_MAX_TRIES = 4
"""Tries for one request, or to start a server: it may end, or be replaced, at any moment."""


class ForkServers:
    """The leases of the fork servers, one server for each service, and the links to their supervisors.

    It lives as long as the runtime; only the event loop's thread may use it. Servers outlive the engine: the
    next engine finds them by name. Supervisors end with this engine, after their attempts.
    """

    def __init__(self, idle: float) -> None:
        """End servers without a lease, and supervisors without an attempt, after idle seconds."""
        self._idle_timeout = idle
        self._leases: dict[str, socket.socket] = {}
        self._start_locks: dict[str, asyncio.Lock] = {}
        self._links: set[SupervisorLink] = set()
        self._idle_links: defaultdict[str, list[SupervisorLink]] = defaultdict(list)
        """The links of idle supervisors, by server; the most recently used is the last."""
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._unfit: dict[str, tuple[str, float]] = {}
        """Servers that can't be forked from: the reason, and until when no other try is made."""

    async def start(self, spec: ForkServerSpec, request: Mapping[str, Any]) -> SupervisedAttempt | None:
        """Send an attempt to a supervisor; None if it has to be started without a fork server.

        The first reply has arrived when this returns. Raises OSError if a transient error prevents the start
        of a server.
        """
        message = encode(request)
        if len(message) > MAX_REQUEST:
            return None
        for _ in range(_MAX_TRIES):
            link = self._take_idle(spec.name)
            if link is None:
                if not await self._lease(spec):
                    return None
                link = self._open_link(spec.name)
            supervised = await link.begin(message) if link else None
            if supervised is None or supervised.reply.result() == OUTDATED:
                self.drop(spec.name)
            elif supervised.reply.result() == CANNOT_FORK:
                self._mark_unfit(spec, "it has started threads, or may not make PID namespaces")
                return None
            else:
                return supervised
        return None

    async def close(self) -> None:
        """Close all leases and links; the servers end after the idle time, if no other engine leases them."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for name in list(self._leases):
            self.drop(name)
        for link in self._links:
            link.close()

    def drop(self, name: str) -> None:
        """Give up a server: close its lease, and the links of its idle supervisors."""
        for link in self._idle_links.pop(name, ()):
            link.close()
        if lease := self._leases.pop(name, None):
            lease.close()

    def _take_idle(self, name: str) -> SupervisorLink | None:
        """Take the link of an idle supervisor, if there is one."""
        while idle_links := self._idle_links[name]:
            link = idle_links.pop()
            if not link.closed:
                return link
        return None

    def _open_link(self, name: str) -> SupervisorLink | None:
        """Connect to the server, which forks one more supervisor; None if the server has ended."""
        connection = connect(name)
        if connection is None:
            return None
        link = SupervisorLink(connection, partial(self._add_idle, name))
        self._links = {link, *(each for each in self._links if not each.closed)}
        return link

    def _add_idle(self, name: str, link: SupervisorLink) -> None:
        self._idle_links[name].append(link)
        if self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(self._idle_timeout, self._sweep)

    def _sweep(self) -> None:
        """Close the links that have been idle for the idle time."""
        loop = asyncio.get_running_loop()
        for links in self._idle_links.values():
            for link in [each for each in links if each.idle_since + self._idle_timeout <= loop.time()]:
                links.remove(link)
                link.close()
        any_idle = any(self._idle_links.values())
        self._sweep_timer = loop.call_later(self._idle_timeout, self._sweep) if any_idle else None

    async def _lease(self, spec: ForkServerSpec) -> bool:
        """Hold a lease of the server, and start it if necessary; return False if there can't be one."""
        if spec.name in self._leases:
            return True
        if time.monotonic() < self._unfit.get(spec.name, ("", 0.0))[1]:
            return False
        async with self._start_locks.setdefault(spec.name, asyncio.Lock()):
            for _ in range(_MAX_TRIES):
                if spec.name in self._leases:
                    return True
                lease = connect(spec.name)
                if lease is not None:
                    lease.send(LEASE)
                    self._leases[spec.name] = lease
                    return True
                if not await self._start_server(spec):
                    return False
        return False

    async def _start_server(self, spec: ForkServerSpec) -> bool:
        """Start a server and wait until it is ready; return False if it can't be forked from."""
        report = await start_server(spec, self._idle_timeout)
        if report.ready and report.problem is None:
            return True
        if is_listening(spec.name):
            return True  # another engine has started the same server first
        self._mark_unfit(spec, report.problem or "the reason is not known")
        return False

    def _mark_unfit(self, spec: ForkServerSpec, problem: str) -> None:
        """Log a new reason once, and do not use the server for some time."""
        if self._unfit.get(spec.name, ("", 0.0))[0] != problem:
            log.warning("jobs of service %s are started without a fork server: %s", spec.service, problem)
        self._unfit[spec.name] = (problem, time.monotonic() + _UNFIT_RETRY_DELAY)
