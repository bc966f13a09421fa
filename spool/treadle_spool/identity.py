"""The identity of a spool: its folders, and spool.json with its format version and its id."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import orjson

from treadle_spool import durable
from treadle_spool.errors import NotASpool
from treadle_spool.status import FORMAT

IDENTITY = "spool.json"
LOCK = "engine.lock"
RUN = "run"
FOLDERS = ("drop", "tmp", "queue", "cancel", RUN, "done", "bad")


class _Identity(msgspec.Struct, frozen=True):
    format: int
    id: str


def identify(root: Path) -> str:
    """Return the id of the spool at root, which is created if the folder is new or empty.

    Raises NotASpool if the folder has other content, a damaged spool.json, or another format version.
    """
    identity = root / IDENTITY
    if not identity.exists():
        create(root)
    try:
        fields = msgspec.json.decode(identity.read_bytes(), type=_Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise NotASpool(f"{identity} can't be read: {error}") from error
    if fields.format != FORMAT:
        raise NotASpool(f"{root} is a spool of format {fields.format}; this version reads format {FORMAT}")
    return fields.id


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
