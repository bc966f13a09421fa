"""`treadle logs`: prints the output of a job."""

from __future__ import annotations

import sys
from typing import Self

import click

from treadle.cli.discovery import with_spool
from treadle.cli.polling import end_without_reader, until_ended
from treadle.cli.spools import find
from treadle_spool import Spool
from treadle_spool.folder import STDERR, STDOUT
from treadle_spool.outputs import GrowingFile


@click.command()
@click.argument("job", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the job has ended.")
@click.option("--stderr", is_flag=True, help="Print standard error instead of standard output.")
@with_spool
def logs(spool: Spool, job: str, follow: bool, stderr: bool) -> None:
    """Print the output of a job. Logs are files of the spool, so this needs no server."""
    name = find(spool, job).id
    with _Log(spool, name, STDERR if stderr else STDOUT) as log:
        if follow:
            until_ended(spool, name, None, log.follow)
        log.copy()


class _Log:
    """A log of a job, copied to standard output piece by piece; it remembers how far it was copied."""

    def __init__(self, spool: Spool, job: str, name: str) -> None:
        self._file = GrowingFile(lambda: spool.folder(job) / name)

    def copy(self) -> None:
        """Copy what was written since the last call; the file need not exist."""
        while chunk := self._file.read():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def follow(self) -> None:
        """Copy what was written; end the process if nobody reads it."""
        self.copy()
        end_without_reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
