"""The framed log stream of both engines: each frame names its stream (Docker's "attach" format)."""

from __future__ import annotations

import struct

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}


class FrameParser:
    """The parser of one log request: it takes the response's bytes in order and separates the streams."""

    def __init__(self) -> None:
        self._incomplete = b""

    def feed(self, chunk: bytes) -> dict[str, bytes]:
        """Return the payload of the frames that the chunk completes, by stream.

        Each printed line is a frame, so a chunk may have thousands.
        """
        buffer = self._incomplete + chunk if self._incomplete else chunk
        payloads: dict[str, list[bytes]] = {}
        offset, size, unpack = 0, len(buffer), _HEADER.unpack_from
        while size - offset >= _HEADER.size:
            kind, length = unpack(buffer, offset)
            end = offset + _HEADER.size + length
            if size < end:
                break
            payloads.setdefault(_STREAMS[kind], []).append(buffer[offset + _HEADER.size : end])
            offset = end
        self._incomplete = buffer[offset:]
        return {stream: b"".join(parts) for stream, parts in payloads.items()}
