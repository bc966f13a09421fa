"""What a fork server and its supervisors receive on their connections."""

from __future__ import annotations

import os
import socket

from . import peer
from .protocol import MAX_RECEIVED

_FIRST_MESSAGE_TIMEOUT = 2.0
"""Seconds that a new connection has to send its first message."""


class Inbox:
    """Receives messages into one buffer, so that no other copy of one is in memory.

    A message is valid until the next one. One buffer serves for all: the C library would map and unmap it
    each time.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(MAX_RECEIVED))

    def first(self, connection: socket.socket) -> memoryview:
        """Return the first message; empty at a timeout, or if the peer is a program or another user."""
        if not peer.is_trusted(connection, (os.geteuid(), 0)):
            return self._buffer[:0]
        connection.settimeout(_FIRST_MESSAGE_TIMEOUT)
        try:
            message = self._buffer[: connection.recv_into(self._buffer)]
        except OSError:
            return self._buffer[:0]
        connection.settimeout(None)
        return message

    def next(self, connection: socket.socket) -> memoryview:
        """Return the next request; empty if the engine has gone, perhaps with a reply not yet read."""
        try:
            return self._buffer[: connection.recv_into(self._buffer)]
        except ConnectionResetError:
            return self._buffer[:0]
