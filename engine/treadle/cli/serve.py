"""`treadle serve`: runs an engine and its HTTP API."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import click

from treadle.cli.build import build_all
from treadle.cli.lines import Lines
from treadle.cli.options import FOLDER, engine_options, settings_of
from treadle.cli.output import detach_stdout
from treadle.intake.project_folders import is_project
from treadle.interface.errors import ServiceError, TreadleError
from treadle.server import Server
from treadle_spool import SpoolError
from treadle_spool.place import check_place

log = logging.getLogger(__name__)

_LAST_WORDS = 1.0
"""Seconds in which somebody may read what was told at the end."""


@click.command()
@click.argument("projects", nargs=-1, type=FOLDER, metavar="[PROJECT]...")
@engine_options()
@click.option("--drain", is_flag=True, help="When stopped, wait for running jobs instead of leaving them.")
@click.option("--api-only", is_flag=True, help="Serve only the API; another process runs the jobs.")
@click.option("--build", "build_first", is_flag=True, help="First do what `treadle build` does.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def serve(
    *,
    projects: tuple[Path, ...],
    drain: bool,
    api_only: bool,
    build_first: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Serve projects over HTTP, and run their jobs.

    Each project is served at `/services/<name>/`, and a single one at `/` too. Without a PROJECT, the
    current folder is served. Running jobs go on when the engine stops; the next engine finishes them.

    A spool has one engine. Further processes can serve its API with --api-only.
    """
    logged = Lines(2, "utf-8", failed=lambda _: None)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=logged,
    )
    told = Lines(1, sys.stdout.encoding, failed=_do_without_output)
    try:
        _serve(projects, told, build_first=build_first, drain=drain, api_only=api_only, options=options)
    finally:
        for lines in (told, logged):
            lines.finish(_LAST_WORDS)


def _serve(
    projects: tuple[Path, ...],
    told: Lines,
    *,
    build_first: bool,
    drain: bool,
    api_only: bool,
    options: dict[str, Any],
) -> None:
    settings = settings_of(projects=projects, **options)
    if not settings.projects and settings.services is None:
        here = Path.cwd()
        if not is_project(here):
            raise ServiceError(
                "name a PROJECT, or a folder with --services: the current folder is not a service project"
            )
        settings = settings_of(projects=(here,), **options)
    check_place(settings.spool)
    if build_first:
        build_all(settings, told.tell)
    try:
        asyncio.run(Server(settings, told.tell, drain=drain, api_only=api_only).run())
    except (TreadleError, SpoolError, OSError):
        raise
    except Exception:
        log.exception("the server ends by a fault of its own")
        sys.exit(1)


def _do_without_output(error: OSError) -> None:
    """Let the server go on where standard output can't be written, or has no reader any more."""
    log.warning("standard output can't be written: %s; the server goes on without it", error.strerror)
    detach_stdout()
