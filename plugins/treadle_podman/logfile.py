"""Podman's own log file (driver `k8s-file`): read where it lies, since its service takes long to send it.

A line is `<time> <stdout|stderr> <F|P> <bytes>`; `P` says that the line goes on in the next one of its
stream (Kubernetes' "CRI logging format").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from treadle_containers import LogFile

_BATCH = 64 * 1024
_FIELDS = 4


def copy_file(path: Path, into: Mapping[str, LogFile]) -> bool:
    """Copy a log file's streams until one of them is full; return False if it can't be read here."""
    try:
        with path.open("rb") as file:
            for stream, printed in _batches(file):
                if log := into.get(stream):
                    log.write(printed)
                    if log.full:
                        break
    except OSError:
        return False
    return True


def _batches(lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield (stream, bytes), many lines at a time."""
    pieces: defaultdict[bytes, list[bytes]] = defaultdict(list)
    size = 0
    for line in lines:
        fields = line.split(b" ", _FIELDS - 1)
        if len(fields) < _FIELDS or not line.endswith(b"\n"):
            break  # the end of a log whose writer was killed
        _, stream, kind, printed = fields
        pieces[stream].append(printed if kind == b"F" else printed[:-1])
        size += len(line)
        if size >= _BATCH:
            yield from _join(pieces)
            size = 0
    yield from _join(pieces)


def _join(pieces: defaultdict[bytes, list[bytes]]) -> Iterator[tuple[str, bytes]]:
    for stream, found in pieces.items():
        yield stream.decode(), b"".join(found)
    pieces.clear()
