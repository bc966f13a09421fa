"""The tools of a job's run: what it uses of its engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from treadle.dispatch.following import Turns
from treadle.extend.loader import Plugins
from treadle.extend.observers import Observers
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.watch.changes import Changes
from treadle_spool import Owner, Status

Finish = Callable[[tuple[Status, bytes | Path | None]], Awaitable[None]]
"""Publishes an outcome, as Owner.finish does."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What each job's run uses of its engine, for as long as the engine holds the spool."""

    owner: Owner
    plugins: Plugins
    observers: Observers
    changes: Changes
    finish: Finish
    settings: Settings
    unavailable: Callable[[Service, str], None]
    """Called with a service that a job could not be started of, for what this host lacks."""
    sync_after: float = 5.0
    """Seconds after which a running attempt is made durable, so that it counts after a power cut."""
    parsing: Turns = field(default_factory=Turns)
    """Whose turn it is to parse a program's output."""
