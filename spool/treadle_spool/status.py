"""The status of a job: its state, its attempts, and its outcome."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

import msgspec
import orjson

from treadle_spool.boot import boot, is_this_kernel
from treadle_spool.clock import now, uptime
from treadle_spool.descriptor import Moment

FORMAT = 2
"""The version of the spool format that this package writes."""
READ_FORMATS = frozenset({1, FORMAT})
"""The versions that it reads. The engine raises an older one to FORMAT when it takes the spool."""


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


class Reason(StrEnum):
    """Why an attempt is over."""

    ENDED = "ended"
    """The program ended by itself."""
    STOPPED = "stopped"
    """The job was cancelled."""
    TIMED_OUT = "timed-out"
    """The program ran longer than its timeout."""
    OUT_OF_MEMORY = "out-of-memory"
    """The program used more memory than it was allowed."""
    OUTPUT_LIMIT = "output-limit"
    """The program was killed because it printed more than it is allowed."""
    NOT_STARTED = "not-started"
    """The runtime could not start the program; it has not run."""
    LOST = "lost"
    """Its exit status is unknown, but it is certain that no process of it is alive."""


_REASONS: dict[str, Any] = {"enum": [*(reason.value for reason in Reason), None]}


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job: in attempt.json while it runs, in `attempts` of status.json afterwards."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    runtime: Annotated[str, msgspec.Meta(description="The runtime plugin that ran it.")]
    started: Moment
    ended: Moment | None = None
    reason: Annotated[str | None, msgspec.Meta(description="What ended it.", extra_json_schema=_REASONS)] = (
        None
    )
    code: Annotated[int | None, msgspec.Meta(description="The exit code, where the program exited.")] = None
    signal: Annotated[int | None, msgspec.Meta(description="The signal, where one killed it.")] = None
    detail: str | None = None
    cpu_seconds: Annotated[
        float | None,
        msgspec.Meta(description="The CPU time of all its processes; null where its runtime can't tell."),
    ] = None
    peak_memory: Annotated[
        int | None,
        msgspec.Meta(description="The most memory, in bytes, that one of its processes had resident."),
    ] = None
    limits: Annotated[
        dict[str, Any],
        msgspec.Meta(description="The limits that were in force, as its runtime names them."),
    ] = {}

    @property
    def longest_output(self) -> float:
        """How many bytes of each log its runtime keeps, where it says so; a longer file is not its own."""
        longest = self.limits.get("output")
        return longest if isinstance(longest, int) else math.inf


class LiveAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """The content of attempt.json: the current attempt of a claimed job, and the attempts before it."""

    attempt: AttemptRecord
    earlier: tuple[AttemptRecord, ...] = ()
    service: str = ""
    """The service of the job, for whoever can't read the descriptor; empty in files of earlier versions."""
    boot: str = ""
    """The boot in which the attempt began; empty in files of earlier versions."""
    clock: float = 0.0
    """The seconds from that boot to the beginning of the attempt."""

    @classmethod
    def beginning(cls, record: AttemptRecord, service: str, earlier: tuple[AttemptRecord, ...] = ()) -> Self:
        """Return the record of an attempt that begins at this moment."""
        return cls(attempt=record, earlier=earlier, service=service, boot=boot(), clock=uptime())

    def begun(self) -> float:
        """Return when the attempt began, on the clock `uptime`; it is never later than now.

        Within a boot nothing changes that. An attempt of another boot, or of an earlier version, began as
        long ago as the time of day tells.
        """
        if is_this_kernel(self.boot):
            return min(self.clock, uptime())
        return uptime() - max(0.0, (now() - self.attempt.started).total_seconds())

    def to_json(self) -> bytes:
        """Return the content of attempt.json."""
        return _dump(self)

    def replacing(self, present: bytes) -> bytes:
        """Return the content of attempt.json in place of the present one.

        Fields that this version does not know stay as they are: a newer version has written them. A damaged
        file has none.
        """
        try:
            found = msgspec.json.decode(present, type=_Records)
            kept = {**_unknown(present, LiveAttempt)}
            kept_of = {
                msgspec.json.decode(record, type=_Number).number: _unknown(record, AttemptRecord)
                for record in (found.attempt, *found.earlier)
            }
        except (UnicodeDecodeError, RecursionError, msgspec.DecodeError):
            return self.to_json()
        fields = msgspec.to_builtins(self, builtin_types=(datetime,))
        for record in (fields["attempt"], *fields["earlier"]):
            record.update(kept_of.get(record["number"], {}))
        return orjson.dumps({**fields, **kept}, option=orjson.OPT_UTC_Z)


class _Records(msgspec.Struct):
    """The parts of attempt.json, unparsed."""

    attempt: msgspec.Raw
    earlier: tuple[msgspec.Raw, ...] = ()


class _Number(msgspec.Struct):
    number: int


def _unknown(raw: bytes | msgspec.Raw, kind: type[msgspec.Struct]) -> dict[str, orjson.Fragment]:
    """Return the fields of a JSON object that the type does not have, as they were written."""
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    known = kind.__struct_fields__
    return {name: orjson.Fragment(bytes(value)) for name, value in fields.items() if name not in known}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a job; for an ended job, the content of status.json."""

    id: Annotated[str, msgspec.Meta(description="The name of the job.")]
    service: str
    status: State
    created: Annotated[Moment, msgspec.Meta(description="When it was accepted.")]
    started: Annotated[
        Moment | None,
        msgspec.Meta(description="When its first attempt was started; null if there was none."),
    ] = None
    ended: Moment | None = None
    labels: dict[str, str] = {}
    attempts: Annotated[
        tuple[AttemptRecord, ...],
        msgspec.Meta(description="Every start of the job, the first one first."),
    ] = ()
    notes: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="What a person may want to know about the output, "
            "such as interim results that were not JSON."
        ),
    ] = ()

    def to_json(self) -> bytes:
        """Return the content of status.json."""
        return _dump(self)


def _dump(value: msgspec.Struct) -> bytes:
    return orjson.dumps(msgspec.to_builtins(value, builtin_types=(datetime,)), option=orjson.OPT_UTC_Z)
