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
    stuck: int = 0
    """How many problems tell of jobs that run without being followed, or of slots that no job has."""
    notes: tuple[str, ...] = ()
    """What somebody should mend, although it stops nothing; each is a sentence."""
