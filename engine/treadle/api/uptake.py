"""How far a client takes what is sent to it, as the kernel counts it (TCP_INFO).

The bytes in the transport's buffer don't tell it: a large file is sent by sendfile(2), past that buffer; and
where a response is written as it is taken, the buffer may have the same size whenever one looks.

What counts is what the client's kernel has taken. It takes what fits into its buffer, and more when there is
room for some packets again. So a client on this host, whose packets have 64 KB, has to read some KB a second.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

STALLED = 12.0
"""Seconds after which a client is gone that takes nothing of its response."""
_INFO = struct.Struct("=24xI92xQ16xI")
"""Of struct tcp_info: the packets that are not acknowledged, the bytes that are, and those not sent yet."""
_RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER that has close(2) throw away what is not sent."""


class Uptake:
    """What the client of one connection has taken, for as long as that lives."""

    def __init__(self) -> None:
        self._taken = 0
        self._since = 0.0

    def look(self, transport: asyncio.Transport, now: float) -> None:
        """Hang up if the client has taken nothing for too long, at all looks of that time."""
        with suppress(OSError):  # it has hung up itself
            connection: socket.socket = transport.get_extra_info("socket")
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
            if len(info) < _INFO.size:  # Linux before 4.6
                return
            unacknowledged, taken, unsent = _INFO.unpack(info)
            waits = unacknowledged or unsent or transport.get_write_buffer_size()
            if not waits or taken != self._taken:
                self._taken, self._since = taken, now
            elif now - self._since > STALLED:
                _hang_up(connection)


def _hang_up(connection: socket.socket) -> None:
    """Have all that uses a connection fail as if the client had gone; what is not sent is thrown away.

    Transport.abort would leave a sendfile(2) in the event loop that waits for the client.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.shutdown(socket.SHUT_RDWR)
