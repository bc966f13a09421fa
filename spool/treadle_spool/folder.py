"""A job's folder: the names of what is in it, and how that is written and read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from treadle_spool import durable, reading
from treadle_spool.descriptor import Descriptor

JOB = "job.json"
ATTEMPT = "attempt.json"
STATUS = "status.json"
RESULT = "result.json"
INTERIM = "interim.jsonl"
STDOUT = "stdout.log"
STDERR = "stderr.log"


def read_descriptor(path: str) -> Descriptor:
    """Read an accepted descriptor; the file's own time stands in where it has no `created`."""
    descriptor = Descriptor.from_json(reading.content(path))
    if descriptor.created is None:
        created = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
        descriptor = msgspec.structs.replace(descriptor, created=created)
    return descriptor


def write_quickly(folder: str, name: str, content: bytes) -> None:
    """Write a file that a power cut may take: it appears under its name only when it is whole."""
    draft = f"{folder}/.{name}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        durable.write_all(fd, content)
    finally:
        os.close(fd)
    os.rename(draft, f"{folder}/{name}")


def leave(folder: str) -> None:
    """Take away what a claim has made so far, with calls that a full disk or table of files allows."""
    with suppress(OSError):
        for name in (f".{ATTEMPT}", ATTEMPT, JOB):
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{name}")
        os.rmdir(folder)


def put_down(folder: str, contents: Mapping[str, bytes | Path]) -> None:
    """Put durable files into a job's folder: each of some content, or of a file that has it."""
    with durable.NewFiles() as files:
        for name, content in contents.items():
            path = f"{folder}/{name}"
            try:
                files.make(path, content)
            except FileExistsError:  # of a finish that did not come to its end
                os.unlink(path)
                files.make(path, content)
        files.sync()
