"""`treadle build`: prepares what a service needs, before its first job."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from treadle.cli.options import FOLDER, engine_options, settings_of
from treadle.extend.loader import Plugins
from treadle.extend.selection import check_service, choose_runtime, image_runtimes
from treadle.intake.projects import read_service
from treadle.interface.service import Service


@click.command()
@click.argument("project", type=FOLDER, default=".")
@engine_options("plugins_dir")
def build(project: Path, **options: Any) -> None:
    """Prepare what PROJECT needs to run: build or load its image, and show the progress.

    An image is built again only if the project has changed.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    plugins = Plugins(settings_of(needs_spool=False, **options))
    service = read_service(project, plugins.options, image_runtimes(plugins))
    asyncio.run(_prepare(plugins, service))
    click.echo(f"{service.name} is ready")


async def _prepare(plugins: Plugins, service: Service) -> None:
    try:
        check_service(plugins, service)
        runtime = await choose_runtime(plugins, service)
        await runtime.prepare(service, click.echo)
    finally:
        await plugins.close()
