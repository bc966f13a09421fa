"""`treadle gc`: removes ended jobs by age, number and size."""

from __future__ import annotations

import asyncio

import click

from treadle.cli.discovery import with_spool
from treadle.cli.options import FiniteRange
from treadle.extend.loader import Plugins
from treadle.interface.errors import TreadleError
from treadle.interface.runtime import StartError
from treadle.interface.settings import make_settings, read_config
from treadle.interface.user_folders import config_file
from treadle_spool import Retention, Spool, collect, expired


@click.command()
@with_spool
@click.option("--days", type=FiniteRange(0), help="Keep this many days of ended jobs and refused files.")
@click.option("--jobs", type=click.IntRange(0), help="Keep this many jobs of each service, the newest.")
@click.option("--bytes", "size", type=click.IntRange(0), help="Keep this many bytes of each service's jobs.")
@click.option("--images", type=click.IntRange(0), help="Keep this many images of each service, the newest.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def gc(
    spool: Spool,
    *,
    days: float | None,
    jobs: int | None,
    size: int | None,
    images: int | None,
    dry_run: bool,
) -> None:
    """Remove ended jobs that are too old or too many, and images. A job that has not ended is never removed.

    Images are those that were built or loaded for services on this host. One that is needed again is made
    again, by `treadle build` or by the next job.
    """
    retention = Retention(days=days, jobs=jobs, bytes=size)
    if not retention and images is None:
        raise TreadleError("say what is to be kept: --days, --jobs, --bytes or --images")
    if images is not None:
        config = click.get_current_context().params["config"]
        settings = make_settings(read_config(config or config_file()), {}, needs_spool=False)
        asyncio.run(_remove_images(Plugins(settings), images, dry_run))
    if not retention:
        return
    removed = list(expired(spool, retention)) if dry_run else collect(spool, retention)
    for job in removed:
        click.echo(f"{job.name}  {job.service}")
    click.echo(f"{len(removed)} ended jobs {'would be' if dry_run else 'were'} removed", err=True)


async def _remove_images(plugins: Plugins, keep: int, dry_run: bool) -> None:
    """Remove images of each runtime that makes some; one whose container engine does not answer is told."""
    removed = 0
    try:
        for runtime in plugins.runtimes.values():
            try:
                names = await runtime.prune(keep, dry_run=dry_run)
            except StartError as error:
                click.echo(f"{runtime.name}: {error}", err=True)
                continue
            removed += len(names)
            for name in names:
                click.echo(f"{name}  {runtime.name}")
    finally:
        await plugins.close()
    click.echo(f"{removed} images {'would be' if dry_run else 'were'} removed", err=True)
