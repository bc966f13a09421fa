"""container.json: the record of an attempt's container, written before each step is done."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import orjson

_NAME = "container.json"


class Record(msgspec.Struct, frozen=True):
    """The container of an attempt and what is intended with it.

    It stays in the attempt's folder, so that the next engine process continues from it after a crash.
    """

    name: str = ""
    """The container's name, recorded before the container is created."""
    id: str | None = None
    """The container's id, recorded before the container is started; with an id it is not created again."""
    over: bool = False
    """Whether the container must not be created or started any more."""
    overflowed: bool = False
    """Whether the container was stopped because it printed more than its limit."""

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Return the record in an attempt's folder, or None if there is none yet."""
        try:
            return msgspec.json.decode((folder / _NAME).read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return cls(over=True)  # a power cut has emptied the file, and no container survives a power cut

    def write(self, folder: Path) -> Record:
        """Write the record atomically and return it; a power cut may empty it (see read)."""
        draft = folder / f".{_NAME}-{os.getpid()}"
        draft.write_bytes(orjson.dumps(msgspec.to_builtins(self)))
        draft.rename(folder / _NAME)
        return self
