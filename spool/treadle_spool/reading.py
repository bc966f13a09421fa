"""Reading JSON that somebody else wrote: strict, typed, and with the place of each fault."""

from __future__ import annotations

import difflib
import os
import re
from typing import TypeVar

import msgspec

from treadle_spool.errors import InvalidDescriptor, InvalidJson

Shape = TypeVar("Shape")

_HEADROOM = 200
"""Stack frames between the first reader of a client's JSON and the deepest of all later ones."""

_SHALLOW = 100
"""Levels of nesting that every reader can follow."""

_PIECE = 64 * 1024

_AT = re.compile(r"(?P<what>.*) - at `(?P<path>\$.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)


def content(path: str | os.PathLike[str]) -> bytes:
    """Return what a small file holds, with one open and, as a rule, one read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while len(piece := os.read(fd, _PIECE)) == _PIECE:
            pieces.append(piece)
        return b"".join((*pieces, piece))
    finally:
        os.close(fd)


def decode(text: bytes, shape: type[Shape]) -> Shape:
    """Return the JSON text as an instance of shape; raise InvalidDescriptor with the path of the fault.

    Fields of type msgspec.Raw are checked to be valid JSON (RFC 8259, UTF-8) and kept as bytes.
    """
    try:
        text.decode()
        return msgspec.json.decode(text, type=shape)
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the text is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise InvalidJson("the JSON is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise _misfit(str(error), shape) from None
    except msgspec.DecodeError as error:
        raise InvalidJson(f"the text is not valid JSON: {error}") from None


def decode_from_client(text: bytes, shape: type[Shape]) -> Shape:
    """Decode what a client wrote; refuse also what is nested so deeply that a later reader might fail.

    How deep a decoder may go depends on how deep its caller's stack is already, so what comes in is
    read from further down than anybody will read it again; unless nobody could find it deep.
    """
    deepest = text.count(b"{") + text.count(b"[")
    return _from_below(_HEADROOM if deepest > _SHALLOW else 0, text, shape)


def _from_below(frames: int, text: bytes, shape: type[Shape]) -> Shape:
    return decode(text, shape) if frames == 0 else _from_below(frames - 1, text, shape)


def _misfit(message: str, shape: type) -> InvalidDescriptor:
    path = "$"
    if found := _AT.fullmatch(message):
        message, path = found["what"], found["path"]
    if unknown := _UNKNOWN.fullmatch(message):
        field = unknown["field"]
        near = difflib.get_close_matches(
            field, [known.encode_name for known in msgspec.structs.fields(shape)], 1
        )
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return InvalidDescriptor(f"unknown field {field!r}{hint}", f"{path}.{field}")
    return InvalidDescriptor(message[:1].lower() + message[1:], path)
