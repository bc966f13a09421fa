"""A job as the engine and its plugins see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from treadle_spool import Descriptor, now


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for, without the payload: that stays in the descriptor's file until it is needed."""

    id: str
    """Its name in the spool: an id the engine made, or the name of the dropped file."""
    service: str
    created: datetime
    priority: int
    """Jobs of higher priority start first; those of the same one in the order they were accepted."""
    timeout: float | None
    """Seconds; None leaves it to the service."""
    labels: Mapping[str, str]

    @classmethod
    def of(cls, name: str, descriptor: Descriptor) -> Self:
        """Return the job that a descriptor asks for."""
        return cls(
            id=name,
            service=descriptor.service,
            created=descriptor.created or now(),
            priority=descriptor.priority,
            timeout=descriptor.timeout,
            labels=descriptor.labels,
        )
