"""How the engine is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The health answer. Ready means: jobs are accepted, noticed and run."""

    ready: bool
    problems: tuple[str, ...]
    """Why it is not ready, or not well; each a sentence."""
    watcher_restarts: int
    """How often the folder observer died and was started again."""
    queued: int
    """Jobs that wait."""
    running: int
    """Jobs that run."""
