"""A line to a supervisor: it is given one attempt after the other, and says how far each is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

STARTED, TAKEN, TRANSIENT_ERROR, ENDED = b"s", b"t", b"e", b"d"
"""A supervisor's answers (treadle_inside/supervisor.py): an errno follows TRANSIENT_ERROR, a name ENDED."""
PLAIN, OUTDATED = b"p", b"o"
"""What is answered where there can be no supervisor (treadle_inside/fork_server.py)."""
_LONGEST = 1024
"""Bytes of an answer."""
_PATIENCE = 60.0
"""Seconds that a supervisor has to begin with an attempt."""


@dataclass(eq=False, slots=True)
class SupervisedAttempt:
    """An attempt that a supervisor was asked to run."""

    answer: asyncio.Future[bytes]
    """What the supervisor says first; nothing if nobody can tell whether it has begun."""
    ended: bytes | None = None
    """How it ended, as the name of a file tells it, once the supervisor has told of that."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the supervisor has told of the end, or has gone, or is not listened to any more."""


class SupervisorLink:
    """An open connection to a supervisor, which goes when it is closed."""

    def __init__(self, connection: socket.socket, on_free: Callable[[SupervisorLink], None]) -> None:
        """Own a connected, non-blocking socket; call on_free whenever its supervisor is free again."""
        self.closed = False
        self.free_since = 0.0
        """On the loop's clock."""
        self._connection = connection
        self._on_free = on_free
        self._supervised: SupervisedAttempt | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._hear)

    async def begin(self, request: bytes) -> SupervisedAttempt | None:
        """Give the supervisor an attempt and wait for its answer; None if it had gone before."""
        try:
            self._connection.send(request)
        except OSError:
            self.close()
            return None
        supervised = self._supervised = SupervisedAttempt(self._loop.create_future())
        patience = self._loop.call_later(_PATIENCE, self.close)
        try:
            await supervised.answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            patience.cancel()
        return supervised

    def close(self) -> None:
        """Let the supervisor go: at once, or when its attempt is over."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        if self._supervised is not None:
            if not self._supervised.answer.done():
                self._supervised.answer.set_result(b"")
            self._supervised.over.set()

    def _hear(self) -> None:
        try:
            said = self._connection.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        supervised = self._supervised
        if not said or supervised is None:
            self.close()
        elif supervised.answer.done():
            supervised.ended = said.removeprefix(ENDED)
            supervised.over.set()
            self._be_free()
        else:
            supervised.answer.set_result(said)
            if said != STARTED:
                self._be_free()

    def _be_free(self) -> None:
        self._supervised = None
        self.free_since = self._loop.time()
        self._on_free(self)
