"""The output parser `planqk`: results with a marker on standard output."""

from __future__ import annotations

from treadle import OutputParser, hookimpl
from treadle_markers.markers import MarkersParser

__all__ = ["MarkersParser", "register_parsers"]


@hookimpl
def register_parsers() -> list[type[OutputParser]]:
    """Return the parser's class."""
    return [MarkersParser]
