"""`treadle logs`: what a job prints."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

import click

from treadle.cli.options import ANY_PATH
from treadle.endings import Endings
from treadle.errors import TreadleError
from treadle.growth import Growth
from treadle.watcher import FOLDERS, Watcher
from treadle_spool import Spool, State

_CHUNK = 64 * 1024
_RESCAN = 30.0
_FOREVER = 10 * 365 * 86400.0


@click.command()
@click.argument("job", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--stderr", is_flag=True, help="Its standard error instead of its standard output.")
@click.option("--spool", type=ANY_PATH, envvar="TREADLE_SPOOL", help="The spool's folder.")
def logs(job: str, follow: bool, stderr: bool, spool: Path | None) -> None:
    """Print what a job has printed. Logs are files of the spool, so this needs --spool."""
    if spool is None:
        raise TreadleError("the Service API has no logs: name the spool with --spool or TREADLE_SPOOL")
    opened = Spool.open(spool)
    name = "stderr.log" if stderr else "stdout.log"
    if follow:
        asyncio.run(_follow(opened, job, name))
    elif opened.look_up(job).status is not State.PENDING:
        with suppress(FileNotFoundError), (opened.folder(job) / name).open("rb") as file:
            _copy(file)


async def _follow(spool: Spool, job: str, name: str) -> None:
    """Print the log as it grows: the kernel says when, and done/ says when it is over."""
    watcher = Watcher(_RESCAN)
    endings = Endings(spool)
    endings.attach(watcher)
    begun = asyncio.Event()
    watcher.watch(spool.run, FOLDERS, lambda _: begun.set())
    async with watcher, Growth() as growth:
        while spool.look_up(job).status is State.PENDING:
            await begun.wait()
            begun.clear()
        with suppress(FileNotFoundError), (spool.folder(job) / name).open("rb") as file:
            ended = asyncio.create_task(endings.status(job, _FOREVER))
            with growth.of(Path(file.name)) as grown:
                while not ended.done():
                    _copy(file)
                    more = asyncio.create_task(grown.wait())
                    await asyncio.wait([ended, more], return_when=asyncio.FIRST_COMPLETED)
                    more.cancel()
                    grown.clear()
            _copy(file)


def _copy(file: IO[bytes]) -> None:
    while chunk := file.read(_CHUNK):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
