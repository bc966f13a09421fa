"""The folder of a job: the names of its files, and the functions that write and read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from treadle_spool import durable
from treadle_spool.descriptor import Accepted, Descriptor
from treadle_spool.errors import InvalidDescriptor
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, UntrustedFile, read_regular

JOB = "job.json"
ATTEMPT = "attempt.json"
STATUS = "status.json"
RESULT = "result.json"
INTERIM = "interim.jsonl"
STDOUT = "stdout.log"
STDERR = "stderr.log"
ATTEMPTS = "attempts"
INPUT = "input"
OUTPUT = "output"
LOGS = {"stdout": STDOUT, "stderr": STDERR}
"""The logs, by the name of the stream that they hold."""


def archive(folder: Path, attempt: int) -> Path:
    """Return the folder for the files of a lost attempt, by its number."""
    return folder / ATTEMPTS / str(attempt)


def read_descriptor(path: str) -> Accepted:
    """Read an accepted descriptor; `created` defaults to the modification time of the file."""
    return parse_descriptor(read_regular(path, LARGEST_DESCRIPTOR), path)


def parse_descriptor(raw: bytes, path: str) -> Accepted:
    """Parse the content of an accepted descriptor's file."""
    try:
        return Accepted.from_json(raw)
    except InvalidDescriptor:  # without `created`, if nothing else is wrong with it
        descriptor = Descriptor.from_json(raw)
        return descriptor.accepted(datetime.fromtimestamp(os.lstat(path).st_mtime, UTC))


def write_unsynced(folder: str, name: str, content: bytes) -> None:
    """Write a file without fsync: it has its name only when it is complete, but a power cut may lose it."""
    draft = f"{folder}/.{name}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        durable.write_all(fd, content)
    finally:
        os.close(fd)
    os.rename(draft, f"{folder}/{name}")


def remove_partial_claim(folder: str) -> None:
    """Remove the files of an incomplete claim. No call here needs disk space or a new file descriptor."""
    with suppress(OSError):
        for name in (f".{ATTEMPT}", ATTEMPT, JOB):
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{name}")
        os.rmdir(folder)


def write_synced(folder: int, contents: Mapping[str, bytes | Path]) -> None:
    """Write and fsync files in an open folder: each with its content, or as a hard link to a file.

    Raises UntrustedFile if a file that is to be linked is not there, or is none.
    """
    with durable.NewFiles() as files:
        for name, content in contents.items():
            try:
                files.make(name, content, dir_fd=folder)
            except FileExistsError:  # left by an incomplete finish
                os.unlink(name, dir_fd=folder)
                files.make(name, content, dir_fd=folder)
            except FileNotFoundError as error:
                raise UntrustedFile(content if isinstance(content, Path) else name, "is not there") from error
        files.sync()
