"""Who is at the other end of a local socket: a process of the same PID namespace, or a program.

Abstract sockets belong to a network namespace, so every program can find and connect to the fork server's,
or take its name. A program has a PID namespace of its own, below that of the server and the engine: this
tells them apart. Where programs are contained by `subreaper` it does not, and only the user is looked at.

The process is named by a pidfd that the kernel keeps with the connection, or, before Linux 6.5, by its pid.
The pidfd can't mean another process; the pid can, if the first one has ended and 4 million have followed.
"""

from __future__ import annotations

import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Collection

_SO_PEERPIDFD = 77


def is_trusted(connection: socket.socket, users: Collection[int]) -> bool:
    """Return whether the peer is a live process of one of the users, and in this PID namespace itself.

    Called once for each connection: by a fork server for who connects, by the engine for who listens.
    """
    pid, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in users and pid > 0 and len(_pids(connection, pid)) == 1


def _pids(connection: socket.socket, pid: int) -> list[bytes]:
    """Return the peer's pids, from that in our PID namespace to that in its own; empty if it has ended."""
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        return _field(f"/proc/{pid}/status")
    try:
        return [each for each in _field(f"/proc/self/fdinfo/{pidfd}") if int(each) > 0]
    finally:
        os.close(pidfd)


def _field(path: str) -> list[bytes]:
    """Return the values of the line NSpid of a file in /proc."""
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return next((line.split()[1:] for line in lines if line.startswith(b"NSpid:")), [])
