"""The body of a POST: read strictly, its payloads carried as the bytes they are."""

from __future__ import annotations

import os
import re
import stat
import zlib
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from treadle.api.errors import ApiError
from treadle.support.retrying import may_pass
from treadle_spool import Descriptor, InvalidDescriptor, decode_from_client
from treadle_spool.descriptor import Labels, Priority, Seconds, check_payload

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_ABSENT = msgspec.Raw()
_GZIP = 16 + zlib.MAX_WBITS
PoolName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class DataRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A file of a data pool, in place of `data`."""

    data_pool_id: PoolName
    data_source_descriptor_id: str | None = None
    file_id: PoolName


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What a client may send; every field is optional."""

    data: msgspec.Raw = _ABSENT
    data_ref: DataRef | None = None
    params: msgspec.Raw = _ABSENT
    priority: Priority = 0
    timeout: Seconds | None = None
    labels: Labels = {}


async def read_body(request: web.Request) -> bytes:
    """Return the request's bytes, unpacked; raise ApiError for what can't be, or says it is not UTF-8."""
    if (charset := request.charset) and charset.lower().replace("_", "-") not in {
        "utf-8",
        "utf8",
        "us-ascii",
    }:
        raise ApiError(400, "INVALID_INPUT", f"the charset is {charset!r}; JSON is UTF-8")
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise ApiError(
            415, "UNSUPPORTED_ENCODING", f"the body is encoded as {encoding!r}; send it plain or as gzip"
        )
    body = await request.read()
    return _unpack(body, request.client_max_size) if encoding == "gzip" else body


def _unpack(body: bytes, limit: int) -> bytes:
    """Return what was packed by gzip (RFC 1952); a small body may hold a huge one, hence the limit."""
    unpacking = zlib.decompressobj(wbits=_GZIP)
    try:
        text = unpacking.decompress(body, limit)
    except zlib.error as error:
        raise ApiError(400, "INVALID_INPUT", f"the body is not valid gzip: {error}") from None
    if unpacking.unconsumed_tail:
        raise ApiError(413, "TOO_LARGE", f"the body has more than {limit} bytes once it is unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise ApiError(400, "INVALID_INPUT", "the body is not one whole gzip stream")
    return text


def to_descriptor(service: str, text: bytes, data_pools: Path | None, max_bytes: int) -> Descriptor:
    """Return the job that a body asks for; raise InvalidDescriptor with the JSON path of the fault."""
    body = decode_from_client(text, Body) if text.strip() else Body()
    for name in ("data", "params"):
        check_payload(getattr(body, name), f"$.{name}")
    data = body.data
    if body.data_ref is not None:
        if bytes(data):
            raise InvalidDescriptor("send either `data` or `dataRef`", "$.dataRef")
        data = _fetch(body.data_ref, data_pools, max_bytes)
    return Descriptor(
        service=service,
        priority=body.priority,
        timeout=body.timeout,
        labels=body.labels,
        data=data,
        params=body.params,
    )


def _fetch(ref: DataRef, data_pools: Path | None, max_bytes: int) -> msgspec.Raw:
    """Return the content of a data pool's file; it becomes part of the job, whatever happens to the pool."""
    if data_pools is None:
        raise InvalidDescriptor(
            "this engine has no data pools: set `data_pools`, or send `data`", "$.dataRef"
        )
    for name, value in (("dataPoolId", ref.data_pool_id), ("fileId", ref.file_id)):
        if not _NAME.fullmatch(value):
            raise InvalidDescriptor(f"{value!r} is not the name of a file", f"$.dataRef.{name}")
    text = _read_inside(data_pools / ref.data_pool_id, ref.file_id, max_bytes)
    content = decode_from_client(text, msgspec.Raw)
    check_payload(content, "$.dataRef")
    return content


def _read_inside(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a regular file of a folder without following any link."""
    try:
        pool = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise InvalidDescriptor(f"{name!r} is not a regular file", "$.dataRef.fileId")
        if found.st_size > max_bytes:
            detail = f"the file has {found.st_size} bytes, and {max_bytes} are allowed"
            raise InvalidDescriptor(detail, "$.dataRef.fileId")
        return file.read()
