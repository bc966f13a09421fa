"""Job names: the rule for names of dropped files, and the ids that the engine generates."""

from __future__ import annotations

import hashlib
import os
import re
import time
from uuid import UUID

from treadle_spool.errors import UnsafeName

LONGEST_NAME = 128
"""Bytes. A name stays within the 255 bytes of a file name with every suffix that the spool adds."""

RESERVED = frozenset({"services", "openapi.json"})
"""Names that mean something else than a job in URLs of the HTTP API."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def new_id() -> str:
    """Return a new UUID version 7 (RFC 9562): ids sort by their time, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def check_name(name: str) -> str:
    """Return the name if it is safe as a file name and in a URL; raise UnsafeName with the rule otherwise."""
    if len(name) > LONGEST_NAME:
        raise UnsafeName(f"a job's name may have {LONGEST_NAME} characters at most, this one has {len(name)}")
    if not _SAFE.fullmatch(name):
        raise UnsafeName(
            f"{name!r} is not a job name: use letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit"
        )
    if name in RESERVED:
        raise UnsafeName(f"{name!r} has a meaning of its own in URLs: choose another job name")
    return name


def shortened(name: str, most: int) -> str:
    """Return the name, or, if it has more bytes than `most`, its beginning and a digest of the whole."""
    raw = os.fsencode(name)
    if len(raw) <= most:
        return name
    return os.fsdecode(raw[: most - 13]) + "~" + hashlib.sha256(raw).hexdigest()[:12]


def printable(text: str) -> str:
    """Return text that JSON can represent: bytes of a file name that are not UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
