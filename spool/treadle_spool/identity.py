"""The identity of a spool: its folders, and spool.json with its format version and its id.

spool.json is made once, and replaced once in the life of a format: an engine that takes a spool of an older
version raises it. The new file is durable before it is renamed over the old one, so after a power cut the
spool has the old version or the new one, and its id in either case. There is no way back to the old version.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import orjson

from treadle_spool import durable
from treadle_spool.errors import NotASpool
from treadle_spool.status import FORMAT, READ_FORMATS

IDENTITY = "spool.json"
LOCK = "engine.lock"
RUN = "run"
FOLDERS = ("drop", "tmp", "queue", "cancel", RUN, "done", "bad")


class _Identity(msgspec.Struct, frozen=True):
    format: int
    id: str


def identify(root: Path) -> str:
    """Return the id of the spool at root, which is created if the folder is new or empty.

    Raises NotASpool if the folder has other content, a damaged spool.json, or a format version that this
    package does not read.
    """
    if not (root / IDENTITY).exists():
        create(root)
    return _read(root)[0].id


def raise_format(root: Path, draft: Path) -> None:
    """Give a spool of an older format the version of today, durably; called by the engine that has its lock.

    draft is an unused path on the spool's file system. Raises NotASpool, and OSError if the disk refuses:
    then the spool has one of the two versions, and a further call completes the work. A spool of today's
    version is made durable too: whoever has made or raised it may have been killed before its fsync.
    """
    identity, fields = _read(root)
    path = root / IDENTITY
    if identity.format < FORMAT:
        durable.write(draft, orjson.dumps({**fields, "format": FORMAT}))
        draft.chmod(stat.S_IMODE(path.stat().st_mode))  # who could read it still can, whatever our umask
        draft.rename(path)
    durable.sync_folder(path.parent)


def is_spool(root: Path) -> bool:
    """Return whether the folder is a spool, of any format version."""
    return (root / IDENTITY).exists()


def create(root: Path) -> None:
    """Make a new or empty folder a spool. If other processes do the same, the first one gives the id."""
    root.mkdir(parents=True, exist_ok=True)
    own_names = {*FOLDERS, IDENTITY, LOCK}
    if any(entry.name not in own_names for entry in root.iterdir() if not entry.name.startswith(".")):
        raise NotASpool(f"{root} is not empty and not a spool: choose an empty or new folder")
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True, mode=0o750)
    staged = root / "tmp" / f"{os.getpid()}-spool"
    durable.write(staged, orjson.dumps({"format": FORMAT, "id": str(uuid4())}), mode=0o644)
    with suppress(FileExistsError):
        os.link(staged, root / IDENTITY)
    staged.unlink()
    durable.sync_folder(root)


def _read(root: Path) -> tuple[_Identity, dict[str, Any]]:
    """Return the identity of a spool, and all fields of spool.json."""
    path = root / IDENTITY
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        identity = msgspec.convert(fields, _Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise NotASpool(f"{path} can't be read: {error}") from error
    if identity.format > FORMAT:
        raise NotASpool(
            f"{root} is a spool of format {identity.format}, made by a newer version of Treadle; "
            f"this version reads formats up to {FORMAT}: use the newer version"
        )
    if identity.format not in READ_FORMATS:
        raise NotASpool(f"{root} is a spool of format {identity.format}, which no version of Treadle makes")
    return identity, fields
