"""The status of a job: its state, its attempts, and its outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
import orjson

FORMAT = 1
"""The version of the spool format that this package reads and writes."""


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
        """Whether the state is final."""
        return self in {State.SUCCEEDED, State.CANCELLED, State.FAILED}


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job: in attempt.json while it runs, in `attempts` of status.json afterwards."""

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
    """The content of attempt.json: the current attempt of a claimed job, and the attempts before it."""

    attempt: AttemptRecord
    earlier: tuple[AttemptRecord, ...] = ()

    def to_json(self) -> bytes:
        """Return the content of attempt.json."""
        return _dump(self)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a job; for an ended job, the content of status.json."""

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
    """Return the current time in UTC, as all times in the spool are."""
    return datetime.now(UTC)


def _dump(value: msgspec.Struct) -> bytes:
    return orjson.dumps(msgspec.to_builtins(value, builtin_types=(datetime,)), option=orjson.OPT_UTC_Z)
