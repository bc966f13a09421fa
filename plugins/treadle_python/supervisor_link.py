"""The engine's connection to a supervisor: it sends attempts, one at a time, and receives the replies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from treadle_python.treadle_inside.protocol import ENDED, MAX_REPLY, STARTED

_START_TIMEOUT = 60.0
"""Seconds from a request to the first reply."""


@dataclass(eq=False, slots=True)
class SupervisedAttempt:
    """An attempt that was sent to a supervisor. It lives in this engine, until the attempt is over."""

    reply: asyncio.Future[bytes]
    """The first reply; empty if the link was closed before, and the attempt may have begun."""
    exit_name: bytes | None = None
    """The name that records the exit, once the supervisor has reported it."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the supervisor has reported the exit, or when the link is closed."""
    link: SupervisorLink | None = None
    """The link, if it is for this attempt alone: to close it says that the end is published."""

    @property
    def identity(self) -> bytes:
        """What the supervisor has published as process.json; empty if it has not told."""
        return self.reply.result()[len(STARTED) :] if self.begun else b""

    @property
    def begun(self) -> bool:
        """Whether the supervisor has begun the attempt."""
        return self.reply.done() and self.reply.result()[:1] == STARTED

    def close(self) -> None:
        """Close a link that is for this attempt alone. Idempotent."""
        if self.link is not None:
            self.link.close()


class SupervisorLink:
    """One open connection to a supervisor of a fork server; only the event loop's thread may use it.

    When the link is closed, or the engine ends, the supervisor ends too: at once, or after its attempt.
    """

    def __init__(self, connection: socket.socket, on_idle: Callable[[SupervisorLink], None]) -> None:
        """Own a connected, non-blocking socket; call on_idle each time the supervisor becomes idle."""
        self.closed = False
        self.idle_since = 0.0
        """On the loop's clock."""
        self._connection = connection
        self._on_idle = on_idle
        self._supervised: SupervisedAttempt | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._receive)

    async def begin(self, request: bytes) -> SupervisedAttempt | None:
        """Send an attempt and wait for the first reply; None if the supervisor had ended before.

        A timeout or a cancelled call closes the link; after a timeout the reply is empty.
        """
        try:
            self._connection.send(request)
        except OSError:
            self.close()
            return None
        supervised = self._supervised = SupervisedAttempt(self._loop.create_future())
        timeout = self._loop.call_later(_START_TIMEOUT, self.close)
        try:
            await supervised.reply
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timeout.cancel()
        return supervised

    def expect(self) -> SupervisedAttempt:
        """Return the attempt that a supervisor has got without a request on this link; it replies here."""
        self._supervised = SupervisedAttempt(self._loop.create_future(), link=self)
        return self._supervised

    def close(self) -> None:
        """Close the connection, and wake the callers that wait for a reply or the exit. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        if self._supervised is not None:
            if not self._supervised.reply.done():
                self._supervised.reply.set_result(b"")
            self._supervised.over.set()

    def _receive(self) -> None:
        try:
            message = self._connection.recv(MAX_REPLY)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        supervised = self._supervised
        if not message or supervised is None:
            self.close()
        elif supervised.reply.done():
            supervised.exit_name = message.removeprefix(ENDED)
            supervised.over.set()
            self._become_idle()
        else:
            supervised.reply.set_result(message)
            if not supervised.begun:
                self._become_idle()

    def _become_idle(self) -> None:
        self._supervised = None
        self.idle_since = self._loop.time()
        self._on_idle(self)
