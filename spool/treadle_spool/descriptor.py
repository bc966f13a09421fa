"""The job descriptor: the request of a client, as one JSON file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec
import orjson

from treadle_spool.errors import InvalidDescriptor
from treadle_spool.reading import decode, decode_from_client

EMPTY = b"{}"
"""The `data` or `params` that a program gets if the client sent none."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Priority = Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
Labels = dict[Text, str]
_ABSENT = msgspec.Raw()


class Origin(msgspec.Struct, frozen=True):
    """The identity of the dropped file that a job was copied from.

    A file that is found again after a crash is recognised by it, and does not become a second job. The
    device number is not part of it: that number may change at a reboot.
    """

    inode: int
    modified: int
    size: int


class Descriptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job as it is stored in queue/, with the fields of spool/FORMAT.md.

    `data` and `params` are raw bytes of the client. They are checked to be JSON objects, and never parsed
    and serialised again, so integers of any size and the order of keys stay the same.
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
    def from_json(cls, raw: bytes) -> Self:
        """Decode an accepted descriptor; raise InvalidDescriptor with the JSON path of the fault."""
        return decode(raw, cls)._checked()

    @classmethod
    def from_client(cls, raw: bytes) -> Self:
        """Decode a client's descriptor as from_json does; from_json can decode it at any later time."""
        return decode_from_client(raw, cls)._checked()

    def to_json(self) -> bytes:
        """Return the descriptor as JSON: small fields first, payloads byte for byte."""
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
    raw = bytes(value)
    if raw and not raw.startswith(b"{"):
        raise InvalidDescriptor("expected an object", path)
