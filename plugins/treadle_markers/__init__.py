"""The output parser `planqk`: results that a program marks on its standard output."""

from __future__ import annotations

from treadle import OutputParser, hookimpl
from treadle_markers.markers import MarkersParser

__all__ = ["MarkersParser", "register_parsers"]


@hookimpl
def register_parsers() -> list[type[OutputParser]]:
    """Provide the parser."""
    return [MarkersParser]
