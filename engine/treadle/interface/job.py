"""Jobs, as the engine and its plugins see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from treadle_spool import Descriptor, now


@dataclass(frozen=True, slots=True)
class Job:
    """The request for one execution, without its payload, which stays in the descriptor's file.

    A value, made when the engine accepts or reads a descriptor; the file survives a crash.
    """

    id: str
    """The job's name in the spool: an id that the engine made, or the name of the dropped file."""
    service: str
    created: datetime
    priority: int
    """Jobs of higher priority start first; jobs of equal priority start in the order of acceptance."""
    timeout: float | None
    """Seconds that the job may take; None: only the service's timeout holds."""
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
