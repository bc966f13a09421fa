"""A line to a keeper: it is given one attempt after the other, and says how far each is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

STARTED, TAKEN, TROUBLE, ENDED = b"s", b"t", b"e", b"d"
"""What a keeper answers (treadle_inside/supervisor.py): an errno follows TROUBLE, a file's name follows ENDED."""
PLAIN, OUTDATED = b"p", b"o"
"""What is answered where there can be no keeper (treadle_inside/fork_server.py)."""
_LONGEST = 1024
"""Bytes of an answer."""
_PATIENCE = 60.0
"""Seconds that a keeper has to begin with an attempt."""


@dataclass(eq=False, slots=True)
class Kept:
    """An attempt that a keeper was asked to run."""

    answer: asyncio.Future[bytes]
    """What the keeper says first; nothing if nobody can tell whether it has begun."""
    ended: bytes | None = None
    """How it ended, as the name of a file tells it, once the keeper has told of that."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the keeper has told of the end, or has gone, or is not listened to any more."""


class Line:
    """An open connection to a keeper, which goes when it is closed."""

    def __init__(self, connection: socket.socket, on_free: Callable[[Line], None]) -> None:
        """Own a connected, non-blocking socket; call on_free whenever its keeper is free again."""
        self.closed = False
        self.free_since = 0.0
        """On the loop's clock."""
        self._connection = connection
        self._on_free = on_free
        self._kept: Kept | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._hear)

    async def begin(self, request: bytes) -> Kept | None:
        """Give the keeper an attempt and wait for its answer; None if it had gone before."""
        try:
            self._connection.send(request)
        except OSError:
            self.close()
            return None
        kept = self._kept = Kept(self._loop.create_future())
        patience = self._loop.call_later(_PATIENCE, self.close)
        try:
            await kept.answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            patience.cancel()
        return kept

    def close(self) -> None:
        """Let the keeper go: at once, or when its attempt is over."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        if self._kept is not None:
            if not self._kept.answer.done():
                self._kept.answer.set_result(b"")
            self._kept.over.set()

    def _hear(self) -> None:
        try:
            said = self._connection.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        kept = self._kept
        if not said or kept is None:
            self.close()
        elif kept.answer.done():
            kept.ended = said.removeprefix(ENDED)
            kept.over.set()
            self._be_free()
        else:
            kept.answer.set_result(said)
            if said != STARTED:
                self._be_free()

    def _be_free(self) -> None:
        self._kept = None
        self.free_since = self._loop.time()
        self._on_free(self)
