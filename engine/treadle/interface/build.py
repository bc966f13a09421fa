"""The build of what a service needs before its first job: an environment, an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How a build is to be done, as the command line says."""

    report: Callable[[str], None]
    """Takes each line of progress. Called in the event loop."""
    find_links: tuple[Path, ...] = ()
    """Folders with packages, which are looked at besides any index."""
    offline: bool = False
    """Whether nothing may be fetched from a network."""
    prune: bool = False
    """Whether what earlier builds have made, and nothing uses, is to be removed."""
