"""The head of a descriptor: all of it but its payload.

A status is asked for again and again, and a payload may have 60 MB. So a large descriptor is not parsed for
each status, nor for the start of its job:

1. The engine writes the small fields first, `created` after the client's options, then the payload
   (`to_json`). Where the first bytes of a file look like that, they are cut at the payload and parsed alone:
   64 KB, or 512 KB if the labels are as long as they may be.
2. Any other file, of somebody who writes into queue/ directly, is parsed once. Its head is kept for as long
   as the file is the same: its inode, its size and its time.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from contextlib import suppress
from itertools import islice

import msgspec

from treadle_spool.descriptor import Accepted
from treadle_spool.folder import parse_descriptor
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, open_untrusted, read_untrusted

_SMALL = 64 * 1024
"""Bytes of a descriptor that is read as a whole, and of the head of a larger one."""
_LONGEST = 512 * 1024
"""Bytes of the longest head: each character of the labels may take 6, and each label 6 more."""
_MOST_NAMES = 4
"""How many names like that of a payload are looked at; the engine writes two at most before it."""
_MOST_KEPT = 1000
"""Descriptors whose heads are kept."""
_PAYLOAD = re.compile(rb',"(?:data|params)":')
_LAST_OF_HEAD = re.compile(rb'"created":"[^"\\]*"(?:,"origin":\{[^{}]*\})?\}\Z')
"""How the fields before the payload end, if the engine has written them; the brace is added."""

_Identity = tuple[int, int, int]


class Heads:
    """Reads the heads of descriptors, for as long as its Spool lives. Any number of threads may use it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Identity, Accepted] = OrderedDict()

    def read(self, path: str) -> Accepted:
        """Return a descriptor, a large one without its payload.

        Raises FileNotFoundError, UntrustedFile or InvalidDescriptor.
        """
        fd = open_untrusted(path)
        try:
            begin = os.read(fd, _SMALL)
            if len(begin) < _SMALL:
                return parse_descriptor(begin, path)
            return _cut(begin) or self._find(path, fd, begin)
        finally:
            os.close(fd)

    def _find(self, path: str, fd: int, begin: bytes) -> Accepted:
        """Return the head of a file whose first bytes are not enough."""
        info = os.fstat(fd)
        identity = info.st_ino, info.st_size, info.st_mtime_ns
        if (kept := self._kept.get(identity)) is None:
            kept = _cut(begin + os.read(fd, _LONGEST - _SMALL))
            kept = kept or parse_descriptor(read_untrusted(path, LARGEST_DESCRIPTOR), path).head()
            self._kept[identity] = kept
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return kept


def _cut(begin: bytes) -> Accepted | None:
    """Return the head from the first bytes of a descriptor that the engine has written; None otherwise."""
    for payload in islice(_PAYLOAD.finditer(begin), _MOST_NAMES):
        fields = begin[: payload.start()] + b"}"
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # the name was inside of another field
            head = msgspec.json.decode(fields, type=Accepted)
            return head if _LAST_OF_HEAD.search(fields) else None
    return None
