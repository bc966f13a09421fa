"""Hints in error messages: the known name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(key: str, known: Iterable[str], none: str = "there are none") -> str:
    """Return a hint at the known key that was probably meant, or the list of all; none is that of no keys."""
    known = sorted(known)
    if not known:
        return f"; {none}"
    near = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
