"""The body of a POST as a job: decoded strictly; its payloads are carried as raw bytes.

A small body is decoded in the engine, a large one in a process of its own (composing.py): so nothing here
needs the application.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import IO, Annotated

import msgspec

from treadle.support.retrying import may_pass
from treadle_spool import Descriptor, InvalidDescriptor, JobOptions, decode_from_client
from treadle_spool.descriptor import Text, check_labels, check_payload
from treadle_spool.errors import TooLarge
from treadle_spool.untrusted import FOLDER_FLAGS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)


def _schema(name: str) -> msgspec.Meta:
    """Return the schema of a payload in openapi.json: one of the service's own."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return msgspec.Meta(extra_json_schema={"anyOf": [schema, {"type": "null"}]})


class DataRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A reference to a file of a data pool, in place of `data`."""

    data_pool_id: Text
    data_source_descriptor_id: str | None = None
    file_id: Text


class Body(JobOptions, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The JSON object that a client may send, with the job's options; every field is optional."""

    data: Annotated[msgspec.Raw, _schema("inputData")] = msgspec.field(default_factory=msgspec.Raw)
    data_ref: DataRef | None = None
    params: Annotated[msgspec.Raw, _schema("inputParams")] = msgspec.field(default_factory=msgspec.Raw)


class Posting(msgspec.Struct, frozen=True):
    """What a body needs to become a job, beside its bytes."""

    service: str
    data_pools: str | None
    """The folder of the data pools."""
    max_bytes: int
    """Bytes of a data pool's file."""


class LargeFile(Exception):
    """A body refers to a file of a data pool that is too large to be decoded here."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def to_descriptor(posting: Posting, raw: bytes, most: int | None = None) -> Descriptor:
    """Return the job that a body asks for; raise InvalidDescriptor with the JSON path of the fault.

    Blocks on the disk if the body refers to a file of a data pool. Raises TooLarge if that has more bytes
    than are allowed, and LargeFile if it has more than `most`.
    """
    body = check_labels(decode_from_client(raw, Body)) if raw.strip() else Body()
    data, params = (check_payload(getattr(body, name), f"$.{name}") for name in ("data", "params"))
    if body.data_ref is not None:
        if bytes(data):
            raise InvalidDescriptor("send either `data` or `dataRef`", "$.dataRef")
        data = _read_pool(body.data_ref, posting, most)
    return Descriptor(service=posting.service, data=data, params=params, **body.options())


def _read_pool(ref: DataRef, posting: Posting, most: int | None) -> msgspec.Raw:
    """Return the content of a data pool's file. It is copied into the job; the pool may change later."""
    if posting.data_pools is None:
        raise InvalidDescriptor(
            "this engine has no data pools: set `data_pools` in its settings, or send `data`", "$.dataRef"
        )
    for name, value in (("dataPoolId", ref.data_pool_id), ("fileId", ref.file_id)):
        if not _NAME.fullmatch(value):
            raise InvalidDescriptor(f"{value!r} is not the name of a file", f"$.dataRef.{name}")
    with _open_inside(Path(posting.data_pools, ref.data_pool_id), ref.file_id) as file:
        size = os.fstat(file.fileno()).st_size
        if size > posting.max_bytes:
            detail = f"the file has {size} bytes, and {posting.max_bytes} are allowed"
            raise TooLarge(detail, "$.dataRef.fileId")
        if most is not None and size > most:
            raise LargeFile(size)
        content = file.read()
    raw = decode_from_client(content, msgspec.Raw)
    return check_payload(raw, "$.dataRef")


def _open_inside(folder: Path, name: str) -> IO[bytes]:
    """Open a regular file in a folder. No link is followed; transient errors are raised."""
    try:
        pool = os.open(folder, FOLDER_FLAGS)
    except OSError as error:
        if may_pass(error):
            raise
        raise InvalidDescriptor(f"there is no data pool {folder.name!r}", "$.dataRef.dataPoolId") from None
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=pool)
    except OSError as error:
        if may_pass(error):
            raise
        raise InvalidDescriptor(f"the data pool has no file {name!r}", "$.dataRef.fileId") from None
    finally:
        os.close(pool)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InvalidDescriptor(f"{name!r} is not a regular file", "$.dataRef.fileId")
    return os.fdopen(fd, "rb")
