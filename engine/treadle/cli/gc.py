"""`treadle gc`: ended jobs that are not kept any more are removed."""

from __future__ import annotations

from pathlib import Path

import click

from treadle.cli.options import ANY_PATH
from treadle.interface.errors import TreadleError
from treadle_spool import Retention, Spool, collect, expired


@click.command()
@click.option("--spool", type=ANY_PATH, envvar="TREADLE_SPOOL", required=True, help="The spool's folder.")
@click.option("--days", type=click.FloatRange(0), help="Remove what ended, or was refused, longer ago.")
@click.option("--jobs", type=click.IntRange(0), help="Retention only so many of each service, the newest.")
@click.option("--bytes", "size", type=click.IntRange(0), help="Retention only so many bytes of each service.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def gc(spool: Path, days: float | None, jobs: int | None, size: int | None, dry_run: bool) -> None:
    """Remove ended jobs that are too old or too many. A job that has not ended is never removed."""
    keep = Retention(days=days, jobs=jobs, bytes=size)
    if not keep:
        raise TreadleError("say what is to be kept: --days, --jobs or --bytes")
    opened = Spool.open(spool)
    gone = list(expired(opened, keep)) if dry_run else collect(opened, keep)
    for job in gone:
        click.echo(f"{job.name}  {job.service}")
    click.echo(f"{len(gone)} ended jobs {'would be' if dry_run else 'were'} removed", err=True)
