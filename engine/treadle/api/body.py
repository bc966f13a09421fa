"""The body of a POST: read strictly; its payloads are carried as raw bytes.

Bodies are unpacked here and not by aiohttp: a truncated gzip body is refused, not taken for an empty one.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from treadle.api.errors import ApiError
from treadle.api.incoming import IncomingBody
from treadle.support.retrying import may_pass
from treadle_spool import Descriptor, InvalidDescriptor, JobOptions, decode_from_client
from treadle_spool.descriptor import Text, check_labels, check_payload
from treadle_spool.untrusted import FOLDER_FLAGS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)


def _schema(name: str) -> msgspec.Meta:
    """Return the schema of a payload in openapi.json: one of the service's own."""
    return msgspec.Meta(extra_json_schema={"$ref": f"#/components/schemas/{name}"})


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


async def read_body(request: web.Request, body: IncomingBody) -> bytes:
    """Return the request's bytes, unpacked; raise ApiError if they can't be unpacked or are not in UTF-8."""
    if (charset := request.charset) and charset.lower().replace("_", "-") not in {
        "utf-8",
        "utf8",
        "us-ascii",
    }:
        raise ApiError(400, "INVALID_INPUT", f"the charset is {charset!r}: send JSON as UTF-8")
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise ApiError(
            415, "UNSUPPORTED_ENCODING", f"the body is encoded as {encoding!r}: send it plain or as gzip"
        )
    raw = await body.read(request)
    return await body.unpack(raw) if encoding == "gzip" else raw


def to_descriptor(service: str, raw: bytes, data_pools: Path | None, max_bytes: int) -> Descriptor:
    """Return the job that a body asks for; raise InvalidDescriptor with the JSON path of the fault.

    Raises ApiError if the file that it refers to is too large. Blocks on the disk if the body refers to a
    file of a data pool.
    """
    body = check_labels(decode_from_client(raw, Body)) if raw.strip() else Body()
    for name in ("data", "params"):
        check_payload(getattr(body, name), f"$.{name}")
    data = body.data
    if body.data_ref is not None:
        if bytes(data):
            raise InvalidDescriptor("send either `data` or `dataRef`", "$.dataRef")
        data = _read_pool(body.data_ref, data_pools, max_bytes)
    return Descriptor(service=service, data=data, params=body.params, **body.options())


def _read_pool(ref: DataRef, data_pools: Path | None, max_bytes: int) -> msgspec.Raw:
    """Return the content of a data pool's file. It is copied into the job; the pool may change later."""
    if data_pools is None:
        raise InvalidDescriptor(
            "this engine has no data pools: set `data_pools` in its settings, or send `data`", "$.dataRef"
        )
    for name, value in (("dataPoolId", ref.data_pool_id), ("fileId", ref.file_id)):
        if not _NAME.fullmatch(value):
            raise InvalidDescriptor(f"{value!r} is not the name of a file", f"$.dataRef.{name}")
    content = _read_inside(data_pools / ref.data_pool_id, ref.file_id, max_bytes)
    raw = decode_from_client(content, msgspec.Raw)
    check_payload(raw, "$.dataRef")
    return raw


def _read_inside(folder: Path, name: str, max_bytes: int) -> bytes:
    """Return the content of a regular file in a folder. No link is followed; transient errors are raised."""
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
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise InvalidDescriptor(f"{name!r} is not a regular file", "$.dataRef.fileId")
        if info.st_size > max_bytes:
            detail = f"the file has {info.st_size} bytes, and {max_bytes} are allowed"
            raise ApiError(413, "TOO_LARGE", detail, "$.dataRef.fileId")
        return file.read()
