"""`treadle build`: prepares what a service needs, before its first job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from treadle.cli.options import FOLDER, engine_options, settings_of
from treadle.extend.loader import Plugins
from treadle.extend.selection import image_runtimes, prepare
from treadle.intake.project_folders import projects_in
from treadle.intake.projects import read_service
from treadle.interface.build import Build
from treadle.interface.errors import TreadleError
from treadle.interface.service import Service
from treadle.interface.settings import Settings


@click.command()
@click.argument("project", type=FOLDER, default=".")
@click.option(
    "--find-links",
    "find_links",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="A folder with wheels to install from; the project's wheels/ is always one.",
)
@click.option("--offline", is_flag=True, help="Ask no package index: install from folders only.")
@click.option("--prune", is_flag=True, help="Remove earlier environments and images, but the last.")
@engine_options("plugins_dir")
def build(project: Path, find_links: tuple[Path, ...], offline: bool, prune: bool, **options: Any) -> None:
    """Prepare what PROJECT needs to run, and show the progress.

    For Python: an environment with the packages of requirements.txt, or of pyproject.toml and uv.lock, made
    by uv or pip in .venvs/, with .venv as a link to it. For a container: its image is built or loaded. It is
    made again only if what it was made from has changed, and running jobs keep what they began with.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    plugins = Plugins(settings_of(needs_spool=False, **options))
    how = Build(report=click.echo, find_links=find_links, offline=offline, prune=prune)
    (service,) = asyncio.run(_prepare_each(plugins, [project], how))
    click.echo(f"{service.name} is ready")


def build_all(settings: Settings, report: Callable[[str], None]) -> None:
    """Prepare what all services of the settings need, one after the other.

    One that can't be prepared harms itself alone: it is reported. Raises ServiceError if it is the only one.
    """
    plugins = Plugins(settings)
    folders = projects_in(settings.services) if settings.services else []
    paths = [*settings.projects, *folders]
    asyncio.run(_prepare_each(plugins, paths, Build(report=report)))


async def _prepare_each(plugins: Plugins, paths: list[Path], how: Build) -> list[Service]:
    """Return the services that are prepared; a failure is reported, and raised if there is one project."""
    prepared = []
    try:
        for path in paths:
            try:
                service = read_service(path, plugins.options, image_runtimes(plugins))
                await prepare(plugins, service, how)
                prepared.append(service)
            except TreadleError as error:
                if len(paths) == 1:
                    raise
                how.report(str(error))
    finally:
        await plugins.close()
    return prepared
