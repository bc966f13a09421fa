"""The head of a descriptor: what a status needs of it, without its payload.

A status is asked for again and again, and a payload may have 60 MB. So a large descriptor is not parsed for
each status:

1. The engine writes the small fields first, `created` after the client's options, then the payload
   (`to_json`). Where the first 64 KB of a file look like that, they are cut at the payload and parsed alone.
2. Any other file, of somebody who writes into queue/ directly, is parsed once. What a status needs is kept
   for as long as the file is the same: its inode, its size and its time.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime

import msgspec

from treadle_spool.descriptor import Accepted
from treadle_spool.folder import parse_descriptor
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, open_untrusted, read_untrusted

_SMALL = 64 * 1024
"""Bytes of a descriptor that is read as a whole, and of the head of a larger one."""
_MOST_KEPT = 1000
"""Descriptors whose heads are kept."""
_PAYLOAD = re.compile(rb',"(?:data|params)":')
_LAST_OF_HEAD = re.compile(rb'"created":"[^"\\]*"(?:,"origin":\{[^{}]*\})?\}\Z')
"""How the fields before the payload end, if the engine has written them; the brace is added."""

_Identity = tuple[int, int, int]


class Head(msgspec.Struct, frozen=True):
    """What a status needs of a descriptor."""

    service: str
    created: datetime
    labels: dict[str, str] = {}

    @classmethod
    def of(cls, descriptor: Accepted) -> Head:
        """Return the head of a descriptor."""
        return cls(descriptor.service, descriptor.created, descriptor.labels)


class Heads:
    """Reads the heads of descriptors, for as long as its Spool lives. Any number of threads may use it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Identity, Head] = OrderedDict()

    def read(self, path: str) -> Head | Accepted:
        """Return the head of a descriptor; raise FileNotFoundError, UntrustedFile or InvalidDescriptor."""
        fd = open_untrusted(path)
        try:
            begin = os.read(fd, _SMALL)
            info = os.fstat(fd) if len(begin) == _SMALL else None
        finally:
            os.close(fd)
        if info is None:
            return parse_descriptor(begin, path)
        return _cut(begin) or self._parse_once(path, (info.st_ino, info.st_size, info.st_mtime_ns))

    def _parse_once(self, path: str, identity: _Identity) -> Head:
        if (kept := self._kept.get(identity)) is None:
            kept = self._kept[identity] = Head.of(
                parse_descriptor(read_untrusted(path, LARGEST_DESCRIPTOR), path)
            )
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return kept


def _cut(begin: bytes) -> Head | None:
    """Return the head from the first bytes of a descriptor that the engine has written; None otherwise."""
    for payload in _PAYLOAD.finditer(begin):
        fields = begin[: payload.start()] + b"}"
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # the name was inside of another field
            head = msgspec.json.decode(fields, type=Head)
            return head if _LAST_OF_HEAD.search(fields) else None
    return None
