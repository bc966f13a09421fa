"""The input files of a program: data.json and params.json, with the bytes that the client sent."""

from __future__ import annotations

import os
from contextlib import suppress

from treadle.interface.attempt import Attempt
from treadle_spool import EMPTY, Descriptor


def write_inputs(attempt: Attempt) -> None:
    """Write data.json and params.json into `Attempt.input`: always valid JSON, and readable for every user.

    For `Program.command`, in a thread. Idempotent: a file that is there is whole, and is left alone, since a
    running program may be reading it. Raises OSError.
    """
    names = ("data", "params")
    paths = [attempt.input / f"{name}.json" for name in names]
    if all(path.exists() for path in paths):
        return
    job = Descriptor.from_json(attempt.descriptor.read_bytes())
    with suppress(FileExistsError):
        attempt.input.mkdir()
    attempt.input.chmod(0o755)
    for name, path in zip(names, paths, strict=True):
        draft = attempt.folder / f".{name}.json-{os.getpid()}"
        draft.write_bytes(bytes(getattr(job, name)) or EMPTY)
        draft.chmod(0o644)
        draft.rename(path)
