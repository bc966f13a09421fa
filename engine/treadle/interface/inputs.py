"""The input files of a program: data.json and params.json, with the bytes that the client sent.

To find them in a large descriptor holds the interpreter, 5 ms for each MB. So that is done by a process,
whose program is this module as well; it takes 0.2 s to start. Where that fails, the engine does it itself.
"""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from treadle.interface.attempt import Attempt
from treadle.support.replacing import move_aside, opened_folder, replace_in
from treadle.support.retrying import may_pass
from treadle_spool import EMPTY, Descriptor
from treadle_spool.folder import INPUT, JOB
from treadle_spool.untrusted import FOLDER_FLAGS, LARGEST_DESCRIPTOR, open_regular, read_untrusted

_LARGE = 2 * 1024 * 1024
"""Bytes of a descriptor from which a process writes the input."""
_THREADS = ThreadPoolExecutor(2, "inputs")
"""Who waits for these processes: in the threads that the engine shares, a few would stop everything."""
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
"""Readable for every user: the program in a container is often another one."""


async def write_inputs(attempt: Attempt) -> None:
    """Write data.json and params.json into `Attempt.input`: always valid JSON, and readable for every user.

    For `Program.command`. Idempotent: a file with the right content is left alone, since a
    running program may be reading it. Anything else in its place is replaced, and in the place of the folder
    as well: what a power cut has emptied, links, fifos, folders. Nothing there is followed or waited for.
    Raises OSError.
    """
    loop = asyncio.get_running_loop()
    if attempt.descriptor.lstat().st_size <= _LARGE:
        await loop.run_in_executor(None, _write, attempt.folder)
    elif not await loop.run_in_executor(_THREADS, _write_by_process, attempt.folder):
        await loop.run_in_executor(_THREADS, _write, attempt.folder)


def _write_by_process(attempt: Path) -> bool:
    """Have a process write the files; return False if there is none to be had, or if it has failed."""
    command = [sys.executable, "-P", "-m", __name__, str(attempt)]
    try:
        code = subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
    except OSError:
        return False
    if code > 1:
        raise OSError(code, os.strerror(code), str(attempt))
    return code == 0


def main() -> None:
    """Write the files of the attempt whose folder is the argument; exit with an errno that may pass, or 1."""
    try:
        _write(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(error.errno if may_pass(error) else 1)


def _write(attempt: Path) -> None:
    job = Descriptor.from_json(read_untrusted(attempt / JOB, LARGEST_DESCRIPTOR))
    with opened_folder(attempt) as folder, _input_folder(folder) as inputs:
        for name in ("data", "params"):
            content = bytes(getattr(job, name)) or EMPTY
            if not _holds(inputs, f"{name}.json", content):
                replace_in(inputs, f"{name}.json", content, folder, _FILE_MODE)


@contextmanager
def _input_folder(folder: int) -> Iterator[int]:
    """Open the folder for the input in an attempt's folder; make it if it is not there, or not usable."""
    try:
        fd = _open(folder)
    except FileNotFoundError:
        fd = _make(folder)
    except OSError as error:  # a link, a file, a folder of another user or without rights
        if may_pass(error):
            raise
        move_aside(folder, INPUT, folder)
        fd = _make(folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _make(folder: int) -> int:
    os.mkdir(INPUT, _FOLDER_MODE, dir_fd=folder)
    return _open(folder)


def _open(folder: int) -> int:
    fd = os.open(INPUT, FOLDER_FLAGS, dir_fd=folder)
    try:
        os.fchmod(fd, _FOLDER_MODE)
    except OSError:
        os.close(fd)
        raise
    return fd


def _holds(folder: int, name: str, content: bytes) -> bool:
    """Return whether a file is there, has this content, and can be read by every user."""
    try:
        fd = open_regular(name, dir_fd=folder)
    except OSError as error:
        if may_pass(error):
            raise
        return False
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if stat.S_IMODE(found.st_mode) != _FILE_MODE or found.st_size != len(content):
            return False
        return file.read(len(content) + 1) == content


if __name__ == "__main__":
    main()
