"""container.json: what is known of an attempt's container, written before anything is done."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import orjson

_NAME = "container.json"


class Record(msgspec.Struct, frozen=True):
    """Which container an attempt has. Found again by whichever engine goes on with the attempt."""

    name: str = ""
    """Its name: the intent, recorded before it is made."""
    id: str | None = None
    """Its id: from now on it may run, so it is never made again."""
    over: bool = False
    """It is not to be made or started any more."""
    overflowed: bool = False
    """It was ended because it printed too much."""

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Return the record in an attempt's folder, or None while there is none."""
        try:
            return msgspec.json.decode((folder / _NAME).read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return cls(over=True)  # a power cut took its content: nothing of before it is alive

    def write(self, folder: Path) -> Record:
        """Put the record down, whole or not at all, and return it."""
        draft = folder / f".{_NAME}-{os.getpid()}"
        draft.write_bytes(orjson.dumps(msgspec.to_builtins(self)))
        draft.rename(folder / _NAME)
        return self
