"""The listening sockets, and the accepting of connections.

asyncio's own accept loop tries 100 times at each event. Without free descriptors each try fails, is logged
and plans a further loop: 3 million lines in 8 s were seen. Here an accept that fails is logged once, and the
next one comes a second later.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress

from treadle.api.connections import REFUSAL, Connections
from treadle.support.lifetime import background

log = logging.getLogger(__name__)

_BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""
_AT_A_TIME = 16
"""Connections that are accepted before other work gets its turn."""
_RETRY = 1.0
"""Seconds after an accept that failed."""
_MOST_DESCRIPTORS = 65_536
_KEPT_BACK = 256
"""Descriptors that connections do not get: for files, and for the processes of jobs."""


def raise_descriptor_limit() -> int:
    """Raise this process's limit of file descriptors, and return how many of them connections may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MOST_DESCRIPTORS:
        wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
            soft = max(soft, wanted)
    limit = _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    return max(limit - max(_KEPT_BACK, limit // 4), limit // 4)


@asynccontextmanager
async def listening(connections: Connections, host: str, port: int) -> AsyncIterator[list[socket.socket]]:
    """Accept connections at every address of a host until the block is left; raise OSError if none can be."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as stack:
        sockets = []
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sockets.append(stack.enter_context(_listen(family, address)))
        async with background(connections.close_slow_ones()):
            accepting = [_Accepting(each, connections) for each in sockets]
            for each in accepting:
                each.resume()
            try:
                yield sockets
            finally:
                for each in accepting:
                    each.close()


def _listen(family: int, address: Sequence[object]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(tuple(address))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class _Accepting:
    """Accepts the connections of one socket, in the event loop."""

    def __init__(self, listener: socket.socket, connections: Connections) -> None:
        self._listener = listener
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._begun: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None

    def resume(self) -> None:
        """Accept, from now on."""
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener.fileno())
        if self._retry is not None:
            self._retry.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_A_TIME):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted: %s; trying again in %g s", error, _RETRY)
                self.close()
                self._retry = self._loop.call_later(_RETRY, self.resume)
                return
            self._take(client)

    def _take(self, client: socket.socket) -> None:
        client.setblocking(False)
        if not self._connections.make_room():
            with client, suppress(OSError):
                client.send(REFUSAL)
            return
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._connections, client))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        task.add_done_callback(_ignore_failure)


def _ignore_failure(task: asyncio.Task[object]) -> None:
    """Look at the outcome: a client that is gone already is no error."""
    if not task.cancelled() and (error := task.exception()):
        log.info("a connection could not be set up: %s", error)
