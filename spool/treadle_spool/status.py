"""What is known of a job: its state, its attempts, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
import orjson

FORMAT = 1
"""The version of the spool's format that this package reads and writes."""


class State(StrEnum):
    """The states of a job; the values are those of the Service API."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to the job any more."""
        return self in {State.SUCCEEDED, State.CANCELLED, State.FAILED}


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job: attempt.json while it lives, an entry of status.json's `attempts` afterwards."""

    number: int
    runtime: str
    started: datetime
    ended: datetime | None = None
    reason: str | None = None
    code: int | None = None
    signal: int | None = None
    detail: str | None = None
    limits: dict[str, Any] = {}


class LiveAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """attempt.json: the attempt that lives in the folder, and those before it."""

    attempt: AttemptRecord
    earlier: tuple[AttemptRecord, ...] = ()

    def to_json(self) -> bytes:
        """Return the content of attempt.json."""
        return _dump(self)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is now; for an ended one, the content of status.json."""

    id: str
    service: str
    status: State
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    labels: dict[str, str] = {}
    attempts: tuple[AttemptRecord, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return the content of status.json."""
        return _dump(self)


def now() -> datetime:
    """Return this moment in UTC, as every time in the spool is."""
    return datetime.now(UTC)


def _dump(value: msgspec.Struct) -> bytes:
    return orjson.dumps(msgspec.to_builtins(value, builtin_types=(datetime,)), option=orjson.OPT_UTC_Z)
