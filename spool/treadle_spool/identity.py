"""What makes a folder a spool: its places, and spool.json, which says who it is."""

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

FOLDERS = ("drop", "tmp", "queue", "cancel", "run", "done", "bad")


class _Identity(msgspec.Struct, frozen=True):
    format: int
    id: str


def identify(root: Path) -> str:
    """Return the id of the spool at root, made where there is none; raise NotASpool for anything else."""
    identity = root / "spool.json"
    if not identity.exists():
        create(root)
    try:
        fields = msgspec.json.decode(identity.read_bytes(), type=_Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise NotASpool(f"{identity} can't be read: {error}") from error
    if fields.format != FORMAT:
        raise NotASpool(f"{root} is a spool of format {fields.format}; this version reads format {FORMAT}")
    return fields.id


def create(root: Path) -> None:
    """Make a spool of a new or empty folder; somebody else who is just making it may be first."""
    root.mkdir(parents=True, exist_ok=True)
    ours = {*FOLDERS, "spool.json", "engine.lock"}
    if any(entry.name not in ours for entry in root.iterdir() if not entry.name.startswith(".")):
        raise NotASpool(f"{root} is not empty and not a spool: choose an empty or new folder")
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True, mode=0o750)
    staged = root / "tmp" / f"{os.getpid()}-spool"
    durable.write(staged, orjson.dumps({"format": FORMAT, "id": str(uuid4())}), mode=0o644)
    with suppress(FileExistsError):
        os.link(staged, root / "spool.json")
    staged.unlink()
    durable.sync_folder(root)
