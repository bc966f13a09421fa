"""What the container plugins read: keys of treadle.toml for the image, and their sections of engine.toml."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of treadle.toml that the program `container` adds; also in a table `[container]`."""

    image: str | None = None
    """The image's name; None: it is the archive in the project, or built from its Dockerfile."""
    command: tuple[str, ...] = ()
    """The command in the image; empty: the image's own."""
    pull: bool = False
    """Whether a missing image is fetched from its registry."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The section of a container engine's plugin in engine.toml, such as `[plugins.docker]`."""

    url: str | None = None
    """The container engine's socket; None: where the engine's own client finds it."""
    patience: Annotated[float, Meta(ge=0)] = 10.0
    """Seconds that the container engine may be unreachable when a job is to be started."""
    stranger_grace: Annotated[float, Meta(ge=0)] = 60.0
    """Seconds until a container that belongs to no live attempt is removed."""
