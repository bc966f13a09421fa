"""Health: the state of an engine or an API process, as `GET /-/health` answers it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """A snapshot of the health. Ready means: jobs are accepted, noticed and run."""

    ready: bool
    problems: tuple[str, ...]
    """The reasons why it is not ready; each is a sentence."""
    watcher_restarts: int
    """How often the folder watcher died and was started again."""
    queued: int
    """How many jobs wait."""
    running: int
    """How many jobs run."""
    notes: tuple[str, ...] = ()
    """What somebody should mend, although it stops nothing; each is a sentence."""
