"""The bodies of the API's responses. openapi.json describes them from these structs.

Members are written in the order of the fields: null as null, and what is unset not at all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from treadle_spool import State, Status

UP = "Service is up and running"
_STATES = {"enum": [state.value for state in State]}

Time = Annotated[str, msgspec.Meta(description="YYYY-MM-DD HH:MM:SS, UTC")]
EventualTime = Annotated[str | None, msgspec.Meta(description="YYYY-MM-DD HH:MM:SS, UTC; null until then")]


class HealthBody(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a service that is up."""

    status: Annotated[str, msgspec.Meta(examples=[UP])]


class JobBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An execution: its state, and when it came to it."""

    id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema=_STATES)]
    created_at: Time
    started_at: EventualTime
    ended_at: EventualTime
    detail: Annotated[str, msgspec.Meta(description="Why it waits, if its service does not work")] | (
        msgspec.UnsetType
    ) = msgspec.UNSET

    @classmethod
    def of(cls, status: Status, waits: str | None = None) -> JobBody:
        """Return the body for a job; waits says why it does not start, where there is such a reason."""
        return cls(
            id=status.id,
            status=status.status,
            created_at=_text(status.created),
            started_at=None if status.started is None else _text(status.started),
            ended_at=None if status.ended is None else _text(status.ended),
            detail=msgspec.UNSET if waits is None else waits,
        )


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An error: a code for programs, and a text for people."""

    code: str
    detail: str
    path: Annotated[str, msgspec.Meta(description="The JSON path of the fault")] | msgspec.UnsetType = (
        msgspec.UNSET
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
