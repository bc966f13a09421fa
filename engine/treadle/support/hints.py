"""Hints in error messages: the known name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(key: str, known: Iterable[str]) -> str:
    """Return a hint at the known key that was probably meant, or the list of all."""
    known = sorted(known)
    near = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
