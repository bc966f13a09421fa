"""Logs as both engines send them: frames, each with the stream it is of (Docker's "attach" format)."""

from __future__ import annotations

import struct

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}


class FrameParser:
    """Takes a log's bytes as they come and gives the bytes of each stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> dict[str, bytes]:
        """Return what the chunk completes, by stream; a line is a frame, so there may be thousands."""
        buffer = self._rest + chunk if self._rest else chunk
        pieces: dict[str, list[bytes]] = {}
        at, size, unpack = 0, len(buffer), _HEADER.unpack_from
        while size - at >= _HEADER.size:
            kind, length = unpack(buffer, at)
            end = at + _HEADER.size + length
            if size < end:
                break
            pieces.setdefault(_STREAMS[kind], []).append(buffer[at + _HEADER.size : end])
            at = end
        self._rest = buffer[at:]
        return {stream: b"".join(found) for stream, found in pieces.items()}
