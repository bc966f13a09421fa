"""The job descriptor: the request of a client, as one JSON file.

A job's options are the fields of JobOptions, and are described there only. The types that carry them inherit
from it: the descriptor, the body of a POST, the command line's request, the engine's Job. The command line's
options, descriptor.schema.json and openapi.json are made from its fields. So a new option is a field there,
and the code that uses it.

A field that this version does not know is a typo in what a client sends, and is refused (`from_client`). In
what another process of Treadle has accepted it comes from a newer version, and is ignored (`from_json`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Self, TypeVar

import msgspec
import orjson

from treadle_spool.errors import InvalidDescriptor
from treadle_spool.reading import decode, decode_from_client

EMPTY = b"{}"
"""The `data` or `params` that a program gets if the client sent none."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
Moment = Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})]
_OBJECT = {"type": ["object", "null"]}
"""The schema of a payload, which is not parsed; null is none."""

_BRACE = ord("{")

_MOST_LABELS = 32 * 1024
"""Characters of all labels of a job."""


class JobOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The options of a job: what a client may say about it beside its service and its payload.

    An option has the same name, type and bounds in a dropped file, in the body of a POST and on the command
    line. Its description is the text of the schemas and of `treadle submit --help`.
    """

    priority: Annotated[
        int, msgspec.Meta(ge=-1000, le=1000, description="Jobs of higher priority start first.")
    ] = 0
    timeout: Annotated[
        Seconds | None,
        msgspec.Meta(description="Seconds an attempt may take; the service's own timeout holds as well."),
    ] = None
    labels: Annotated[
        dict[Text, str], msgspec.Meta(description="The client's own labels; status.json repeats them.")
    ] = {}

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, by name."""
        return {name: value for name, default in OPTIONS if (value := getattr(self, name)) != default}


Options = TypeVar("Options", bound=JobOptions)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


OPTIONS = tuple((field.name, _default(field)) for field in msgspec.structs.fields(JobOptions))
"""The name and the default of each option."""


class Origin(msgspec.Struct, frozen=True):
    """The identity of the dropped file that a job was copied from.

    A file that is found again after a crash is recognised by it, and does not become a second job. The
    device number is not part of it: that number may change at a reboot.
    """

    inode: int
    modified: Annotated[int, msgspec.Meta(description="Nanoseconds since 1970.")]
    size: int


class Descriptor(JobOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job as a client describes it, with the fields of spool/FORMAT.md.

    `data` and `params` are raw bytes of the client. They are checked to be JSON objects, and never parsed
    and serialised again, so integers of any size and the order of keys stay the same.
    """

    service: Annotated[Text, msgspec.Meta(description="The name of the service to run.")]
    created: Annotated[
        Moment | None,
        msgspec.Meta(
            description="When the job was accepted, RFC 3339. Written at the accept; ignored in drop/."
        ),
    ] = None
    origin: Annotated[
        Origin | None,
        msgspec.Meta(
            description="Which dropped file the job came from. Written by the engine; ignored in drop/."
        ),
    ] = None
    data: Annotated[
        msgspec.Raw,
        msgspec.Meta(
            description="The program's input; its bytes reach the program as they are.",
            extra_json_schema=_OBJECT,
        ),
    ] = msgspec.field(default_factory=msgspec.Raw)
    params: Annotated[
        msgspec.Raw,
        msgspec.Meta(description="The program's parameters; likewise.", extra_json_schema=_OBJECT),
    ] = msgspec.field(default_factory=msgspec.Raw)

    @classmethod
    def from_json(cls, raw: bytes) -> Descriptor:
        """Decode a descriptor in queue/ or in a job's folder; unknown fields are ignored.

        Raises InvalidDescriptor with the JSON path of the fault.
        """
        return decode(raw, Stored)._checked()

    @classmethod
    def from_client(cls, raw: bytes) -> Descriptor:
        """Decode a client's descriptor, where an unknown field is an error; from_json can decode it later.

        Raises InvalidDescriptor with the JSON path of the fault.
        """
        return check_labels(decode_from_client(raw, Descriptor))._checked()

    def accepted(self, moment: datetime) -> Accepted:
        """Return the descriptor of the accepted job; moment is its `created`, unless it has one already."""
        fields = msgspec.structs.asdict(self)
        fields["created"] = self.created or moment
        return Accepted(**fields)

    def to_json(self) -> bytes:
        """Return the descriptor as JSON: small fields first, payloads byte for byte."""
        fields: dict[str, Any] = {"service": self.service, **self.options()}
        if self.created is not None:
            fields["created"] = self.created
        if self.origin is not None:
            fields["origin"] = msgspec.to_builtins(self.origin)
        if data := bytes(self.data):
            fields["data"] = orjson.Fragment(data)
        if params := bytes(self.params):
            fields["params"] = orjson.Fragment(params)
        return orjson.dumps(fields)

    def head(self) -> Self:
        """Return the descriptor without its payload."""
        return msgspec.structs.replace(self, data=msgspec.Raw(), params=msgspec.Raw())

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Yield what to_json returns, in pieces: no payload is copied."""
        yield self.head().to_json()[:-1]
        for name in ("data", "params"):
            if payload := memoryview(getattr(self, name)):
                yield f',"{name}":'.encode()
                yield payload
        yield b"}"

    def _checked(self) -> Self:
        checked = {name: check_payload(getattr(self, name), f"$.{name}") for name in ("data", "params")}
        return msgspec.structs.replace(self, **checked)


class Stored(Descriptor, frozen=True, forbid_unknown_fields=False, kw_only=True):
    """A descriptor as it is read from queue/ or a job's folder; its writer may be of a newer version."""


class Accepted(Stored, frozen=True, kw_only=True):
    """The descriptor of an accepted job, as it is stored in queue/: the time of its acceptance is known."""

    created: Moment

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Decode as Descriptor.from_json does; without `created` the descriptor is not valid."""
        return decode(raw, cls)._checked()


def check_labels(job: Options) -> Options:
    """Return a client's job; raise InvalidDescriptor if its labels are large: each status repeats them."""
    size = sum(len(name) + len(value) for name, value in job.labels.items())
    if size > _MOST_LABELS:
        raise InvalidDescriptor(
            f"the labels have {size} characters, and {_MOST_LABELS} are allowed", "$.labels"
        )
    return job


def check_payload(value: msgspec.Raw, path: str) -> msgspec.Raw:
    """Return the payload; raise InvalidDescriptor unless it is absent or a JSON object.

    null is absent, too: the client of version 1 sends that.
    """
    raw = memoryview(value)  # a copy of a large payload takes longer than all else here
    if not raw or raw[0] == _BRACE:
        return value
    if bytes(raw[:5]) == b"null":
        return msgspec.Raw()
    raise InvalidDescriptor("expected an object", path)
