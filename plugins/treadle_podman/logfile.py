"""Podman's log file (driver `k8s-file`), read directly because Podman's service is slow to send it.

A line is `<time> <stdout|stderr> <F|P> <bytes>` (Kubernetes' "CRI logging format"). `F` is a full line, or
the end of one. `P` is a part of a line that the next line of the same stream continues.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from treadle_containers import LogFile

_BATCH_SIZE = 64 * 1024
"""Bytes of the log file that are copied at a time."""
_FIELDS = 4


def copy_file(path: Path, into: Mapping[str, LogFile]) -> bool:
    """Copy a log file until a stream's file is full; return False if the log file can't be read."""
    try:
        with path.open("rb") as file:
            for stream, payload in _batches(file):
                if log := into.get(stream):
                    log.write(payload)
                    if log.full:
                        break
    except OSError:
        return False
    return True


def _batches(lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield (stream, bytes) for many lines at a time."""
    parts: defaultdict[bytes, list[bytes]] = defaultdict(list)
    size = 0
    for line in lines:
        fields = line.split(b" ", _FIELDS - 1)
        if len(fields) < _FIELDS or not line.endswith(b"\n"):
            break  # an incomplete line: the log's writer was killed
        _, stream, kind, payload = fields
        parts[stream].append(payload if kind == b"F" else payload[:-1])
        size += len(line)
        if size >= _BATCH_SIZE:
            yield from _join(parts)
            size = 0
    yield from _join(parts)


def _join(parts: defaultdict[bytes, list[bytes]]) -> Iterator[tuple[str, bytes]]:
    for stream, lines in parts.items():
        yield stream.decode(), b"".join(lines)
    parts.clear()
