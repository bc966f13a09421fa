"""`treadle gc`: removes ended jobs by age, number and size."""

from __future__ import annotations

import click

from treadle.cli.discovery import with_spool
from treadle.cli.options import FiniteRange
from treadle.interface.errors import TreadleError
from treadle_spool import Retention, Spool, collect, expired


@click.command()
@with_spool
@click.option("--days", type=FiniteRange(0), help="Keep this many days of ended jobs and refused files.")
@click.option("--jobs", type=click.IntRange(0), help="Keep this many jobs of each service, the newest.")
@click.option("--bytes", "size", type=click.IntRange(0), help="Keep this many bytes of each service's jobs.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def gc(spool: Spool, days: float | None, jobs: int | None, size: int | None, dry_run: bool) -> None:
    """Remove ended jobs that are too old or too many. A job that has not ended is never removed."""
    retention = Retention(days=days, jobs=jobs, bytes=size)
    if not retention:
        raise TreadleError("say what is to be kept: --days, --jobs or --bytes")
    removed = list(expired(spool, retention)) if dry_run else collect(spool, retention)
    for job in removed:
        click.echo(f"{job.name}  {job.service}")
    click.echo(f"{len(removed)} ended jobs {'would be' if dry_run else 'were'} removed", err=True)
