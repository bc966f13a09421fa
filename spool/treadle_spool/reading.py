"""Decoding JSON from other writers: strict, typed, and with the JSON path of each fault."""

from __future__ import annotations

import difflib
import re
from typing import TypeVar

import msgspec

from treadle_spool.errors import InvalidDescriptor, InvalidJson
from treadle_spool.integers import check_integers

Shape = TypeVar("Shape")

_RESERVED_FRAMES = 200
"""Stack frames by which the stack of a later reader may be deeper than that of the first reader."""

_SAFE_DEPTH = 100
"""Levels of nesting that every reader can decode."""

_ERROR_WITH_PATH = re.compile(r"(?P<what>.*) - at `(?P<path>\$.*)`", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)


def decode(raw: bytes, shape: type[Shape]) -> Shape:
    """Decode JSON to an instance of shape; raise InvalidDescriptor with the JSON path of the fault.

    Fields of type msgspec.Raw are checked to be valid JSON (RFC 8259, UTF-8) and kept as bytes.
    """
    try:
        if not raw.isascii():  # a tenth of the time, and no copy
            raw.decode()
        return msgspec.json.decode(raw, type=shape)
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the text is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise InvalidJson("the JSON is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise _invalid(str(error), shape) from None
    except msgspec.DecodeError as error:
        raise InvalidJson(f"the text is not valid JSON: {error}") from None


def decode_from_client(raw: bytes, shape: type[Shape]) -> Shape:
    """Decode JSON of a client; also refuse JSON that a later reader can't read, or not in time.

    The nesting that a decoder can follow depends on the depth of its caller's stack. So JSON that may be
    nested deeply is decoded here on a deeper stack than that of every later reader.
    """
    max_depth = raw.count(b"{") + raw.count(b"[")
    decoded = _decode_deeper(_RESERVED_FRAMES if max_depth > _SAFE_DEPTH else 0, raw, shape)
    check_integers(raw)
    return decoded


def _decode_deeper(frames: int, raw: bytes, shape: type[Shape]) -> Shape:
    return decode(raw, shape) if frames == 0 else _decode_deeper(frames - 1, raw, shape)


def _invalid(message: str, shape: type) -> InvalidDescriptor:
    path = "$"
    if located := _ERROR_WITH_PATH.fullmatch(message):
        message, path = located["what"], located["path"]
    if unknown := _UNKNOWN_FIELD.fullmatch(message):
        field = unknown["field"]
        # Not msgspec.structs.fields: it evaluates all annotations anew, which takes half a millisecond.
        known: tuple[str, ...] = getattr(shape, "__struct_encode_fields__", ())
        similar = difflib.get_close_matches(field, known, 1)
        hint = f"; did you mean {similar[0]!r}?" if similar else ""
        return InvalidDescriptor(f"unknown field {field!r}{hint}", f"{path}.{field}")
    return InvalidDescriptor(message[:1].lower() + message[1:], path)
