"""What a fork server and its supervisors receive on their connections."""

from __future__ import annotations

import os
import socket

from . import peer
from .protocol import MAX_RECEIVED

_FIRST_MESSAGE_TIMEOUT = 2.0
"""Seconds that a new connection has to send its first message."""


def receive_first(connection: socket.socket) -> bytes:
    """Return the first message; empty at a timeout, or if the peer is a program or another user."""
    if not peer.is_trusted(connection, (os.geteuid(), 0)):
        return b""
    connection.settimeout(_FIRST_MESSAGE_TIMEOUT)
    try:
        message = connection.recv(MAX_RECEIVED)
    except OSError:
        return b""
    connection.settimeout(None)
    return message


def receive_next(connection: socket.socket, buffer: bytearray) -> bytes:
    """Return the next request; empty if the engine has gone, perhaps with a reply that it has not read."""
    try:
        return bytes(buffer[: connection.recv_into(buffer)])
    except ConnectionResetError:
        return b""
