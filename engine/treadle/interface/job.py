"""Jobs, as the engine and its plugins see them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from treadle_spool import Accepted, JobOptions


class Job(JobOptions, frozen=True):
    """A job without its payload, which stays in the descriptor's file.

    A value, made when the engine accepts or reads a descriptor; the file survives a crash. The job's options
    (`priority`, `timeout`, `labels`) are attributes; treadle_spool.JobOptions describes them.
    """

    id: str
    """The job's name in the spool: an id that the engine made, or the name of the dropped file."""
    service: str
    created: datetime
    """When the job was accepted: jobs of equal priority start in this order."""

    @classmethod
    def of(cls, name: str, descriptor: Accepted) -> Self:
        """Return the job that an accepted descriptor asks for."""
        return cls(name, descriptor.service, descriptor.created, **descriptor.options())
