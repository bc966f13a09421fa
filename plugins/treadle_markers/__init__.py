"""The output parser `planqk`: results with a marker on standard output."""

from __future__ import annotations

import msgspec

from treadle import OutputParser, Settings, hookimpl
from treadle_markers.markers import MarkersParser

__all__ = ["MarkersParser", "register_parsers"]


class Section(msgspec.Struct, frozen=True):
    """The section `[plugins.markers]` of engine.toml: it has no keys."""


@hookimpl
def register_parsers(settings: Settings) -> list[type[OutputParser]]:
    """Return the parser's class."""
    settings.section("markers", Section)
    return [MarkersParser]
