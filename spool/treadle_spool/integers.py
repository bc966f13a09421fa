"""Integers that no program can read in time: refused when a job is accepted.

A program's `json` needs quadratic time for an integer: seconds for 1,000,000 digits, 22 minutes for 60 MB of
them. Payloads are not parsed, so digits are looked for in the text: of more than `MOST_DIGITS` digits in a
row, one stands at a multiple of `MOST_DIGITS`. So a text of 60 MB costs 60 looks, and only what is found is
looked at: digits of a fraction or inside of a string are no integer.
"""

from __future__ import annotations

import re

from treadle_spool.errors import InvalidDescriptor

MOST_DIGITS = 1_000_000
"""Digits of an integer."""
_DIGITS = b"0123456789"
_BACKSLASH = b"\\"
_PIECE = 256 * 1024
"""Bytes that are looked at in one step."""
_WHOLE_STRINGS = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


def check_integers(raw: bytes) -> None:
    """Raise InvalidDescriptor if there is an integer of too many digits in valid JSON."""
    end = 0
    for position in range(MOST_DIGITS, len(raw), MOST_DIGITS):
        if position < end or raw[position] not in _DIGITS:
            continue
        start, end = _digits_around(raw, position)
        if end - start > MOST_DIGITS and _is_integer(raw, start, end) and not _is_in_text(raw, start):
            raise InvalidDescriptor(
                f"an integer has more than {MOST_DIGITS} digits: send it as a string, or in parts"
            )


def _digits_around(raw: bytes, position: int) -> tuple[int, int]:
    """Return where the digits around a position begin and end."""
    start = end = position
    while end < len(raw) and (piece := raw[end : end + _PIECE]):
        rest = piece.lstrip(_DIGITS)
        end += len(piece) - len(rest)
        if rest:
            break
    while start and (piece := raw[max(0, start - _PIECE) : start]):
        rest = piece.rstrip(_DIGITS)
        start -= len(piece) - len(rest)
        if rest:
            break
    return start, end


def _is_integer(raw: bytes, start: int, end: int) -> bool:
    """Return whether digits are not a part of a number with a fraction or an exponent."""
    before, after = raw[start - 1 : start], raw[end : end + 1]
    return before not in {b".", b"e", b"E", b"+"} and after not in {b".", b"e", b"E"}


def _is_in_text(raw: bytes, position: int) -> bool:
    """Return whether a position in valid JSON is inside of a string.

    Looked for in pieces: one match of a regular expression holds the interpreter until its end.
    """
    inside, start = False, 0
    while start < position:
        end = min(start + _PIECE, position)
        found = (_REST_OF_STRING if inside else _WHOLE_STRINGS).match(raw, start, end)
        assert found is not None  # both match the empty text
        start = found.end()
        if start == end:
            continue
        if raw[start] in _BACKSLASH:  # the piece ends inside of an escape
            start += 2
        else:  # a quote: a string ends here, or one begins that the piece does not have completely
            inside = not inside
            start += 1
    return inside
