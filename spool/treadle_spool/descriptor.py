"""The job descriptor: what a client asks for, as one JSON file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec
import orjson

from treadle_spool.errors import InvalidDescriptor
from treadle_spool.reading import decode, decode_from_client

EMPTY = b"{}"
"""What a program gets for `data` or `params` that the client did not send."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Priority = Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
Labels = dict[Text, str]
_ABSENT = msgspec.Raw()


class Origin(msgspec.Struct, frozen=True):
    """Which dropped file a job came from; the same file met again after a crash is not a second job.

    The device is not part of it: its number may be another one after a start of the machine.
    """

    inode: int
    modified: int
    size: int


class Descriptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job as it stands in queue/: the fields of spool/FORMAT.md.

    `data` and `params` are the client's own bytes: checked to be JSON objects, never parsed and
    written anew, so integers of any size and the order of keys are what they were.
    """

    service: Text
    priority: Priority = 0
    timeout: Seconds | None = None
    labels: Labels = {}
    created: datetime | None = None
    origin: Origin | None = None
    data: msgspec.Raw = _ABSENT
    params: msgspec.Raw = _ABSENT

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read an accepted descriptor; raise InvalidDescriptor with the JSON path of a fault."""
        return decode(text, cls)._checked()

    @classmethod
    def from_client(cls, text: bytes) -> Self:
        """Read what a client wrote, as from_json does; what this takes, from_json can read ever after."""
        return decode_from_client(text, cls)._checked()

    def to_json(self) -> bytes:
        """Return the descriptor as JSON, small fields first, payloads byte for byte."""
        fields: dict[str, Any] = {"service": self.service}
        if self.priority:
            fields["priority"] = self.priority
        if self.timeout is not None:
            fields["timeout"] = self.timeout
        if self.labels:
            fields["labels"] = self.labels
        if self.created is not None:
            fields["created"] = self.created
        if self.origin is not None:
            fields["origin"] = msgspec.to_builtins(self.origin)
        for name in ("data", "params"):
            if payload := bytes(getattr(self, name)):
                fields[name] = orjson.Fragment(payload)
        return orjson.dumps(fields)

    def _checked(self) -> Self:
        for name in ("data", "params"):
            check_payload(getattr(self, name), f"$.{name}")
        return self


def check_payload(value: msgspec.Raw, path: str) -> None:
    """Raise InvalidDescriptor unless the payload is absent or a JSON object."""
    text = bytes(value)
    if text and not text.startswith(b"{"):
        raise InvalidDescriptor("expected an object", path)
