"""`treadle logs`: prints the output of a job."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import click

from treadle.cli.discovery import with_spool
from treadle.watch.arrivals import FOLDERS, Arrivals
from treadle.watch.changes import Changes
from treadle.watch.completions import Completions
from treadle_spool import Spool, State
from treadle_spool.folder import STDERR, STDOUT
from treadle_spool.outputs import GrowingFile

_RESCAN = 30.0
"""Seconds between two listings of the watched folders."""
_FOREVER = 10 * 365 * 86400.0
"""Seconds; in effect no timeout."""


@click.command()
@click.argument("job", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the job has ended.")
@click.option("--stderr", is_flag=True, help="Print standard error instead of standard output.")
@with_spool
def logs(spool: Path, job: str, follow: bool, stderr: bool) -> None:
    """Print the output of a job. Logs are files of the spool, so this needs no server."""
    opened = Spool.open(spool)
    with _Log(opened, job, STDERR if stderr else STDOUT) as log:
        if follow:
            asyncio.run(_follow(opened, job, log))
        elif opened.look_up(job).status is not State.PENDING:
            log.copy()


async def _follow(spool: Spool, job: str, log: _Log) -> None:
    """Print the log as it grows, without polling: inotify reports each change, and queue/ the job's end."""
    arrivals = Arrivals(_RESCAN)
    completions = Completions(spool)
    completions.attach(arrivals)
    claimed = asyncio.Event()
    arrivals.watch(spool.run, FOLDERS, lambda _: claimed.set())
    async with arrivals, Changes() as changes:
        while spool.look_up(job).status is State.PENDING:
            await claimed.wait()
            claimed.clear()
        ended = asyncio.create_task(completions.status(job, _FOREVER))
        with suppress(FileNotFoundError), changes.inside(spool.folder(job), log.name) as changed:
            while not ended.done():
                log.copy()
                change = asyncio.create_task(changed.wait())
                await asyncio.wait([ended, change], return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                changed.clear()
        await ended
        log.copy()


class _Log:
    """A log of a job, copied to standard output piece by piece; it remembers how far it was copied."""

    def __init__(self, spool: Spool, job: str, name: str) -> None:
        self.name = name
        self._file = GrowingFile(lambda: spool.folder(job) / name)

    def copy(self) -> None:
        """Copy what was written since the last call; the file need not exist."""
        while chunk := self._file.read():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
