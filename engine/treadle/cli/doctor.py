"""`treadle doctor`: checks whether this host can run services."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from treadle.cli.options import FOLDER, engine_options, settings_of
from treadle.cli.table import print_table
from treadle.extend.loader import Plugins
from treadle.extend.selection import check_service, image_runtimes, lack_of
from treadle.intake.project_reader import ProjectReader
from treadle.intake.projects import read_service
from treadle.intake.reloader import Reloader
from treadle.intake.validation_pool import ValidationPool
from treadle.interface.errors import ServiceError
from treadle.interface.runtime import Diagnosis
from treadle.interface.settings import Settings


@click.command()
@click.argument("project", type=FOLDER, required=False)
@engine_options("plugins_dir", "services")
def doctor(project: Path | None, **options: Any) -> None:
    """Check every runtime of this host, the services in the settings and PROJECT, and say what to mend.

    Exits with 1 if something does not work.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    settings = settings_of(needs_spool=False, **options)
    plugins = Plugins(settings)
    diagnoses = [] if project is None else [_of_project(plugins, project)]
    diagnoses += asyncio.run(_diagnose(plugins, settings))
    rows = [[each.subject, "works" if each.works else "DOES NOT WORK", _details(each)] for each in diagnoses]
    print_table(("what", "state", "what was found"), rows)
    sys.exit(0 if all(each.works for each in diagnoses) else 1)


async def _diagnose(plugins: Plugins, settings: Settings) -> list[Diagnosis]:
    """Return the diagnoses of all plugins; a plugin that is broken, or whose check fails, does not work."""
    diagnoses = [
        Diagnosis(f"plugin {each.name}", works=False, detail=each.error)
        for each in plugins.listing
        if each.error is not None
    ]
    for name, implementation in plugins.implementations("diagnose"):
        try:
            answer = implementation(settings=settings)
            results: Iterable[Diagnosis] = await answer if inspect.isawaitable(answer) else answer
            diagnoses += results
        except Exception as error:  # noqa: BLE001  # a plugin's code may raise anything
            diagnoses.append(Diagnosis(f"plugin {name}", works=False, detail=f"its check failed: {error}"))
    diagnoses += await _broken_services(plugins, settings)
    await plugins.close()
    return diagnoses


def _of_project(plugins: Plugins, project: Path) -> Diagnosis:
    """Return whether this host can run the service of a project."""
    subject = f"service {project.name}"
    try:
        service = read_service(project, plugins.options, image_runtimes(plugins))
        subject = f"service {service.name}"
        lack = lack_of(plugins, service)
        if lack is None:
            check_service(plugins, service)
    except ServiceError as error:
        return Diagnosis(subject, works=False, detail=str(error))
    if lack is not None:
        return Diagnosis(subject, works=False, detail=lack)
    return Diagnosis(subject, works=True, detail=f"program {service.program}, runtime {service.runtime}")


async def _broken_services(plugins: Plugins, settings: Settings) -> list[Diagnosis]:
    """Return what is wrong with the services of the settings; those that work are not listed."""
    pool = ValidationPool(settings.validation_seconds)
    try:
        reloader = Reloader(ProjectReader(settings, plugins, pool), plugins)
        await reloader.reload()
    except ServiceError as error:
        return [Diagnosis("services", works=False, detail=str(error))]
    finally:
        pool.close()
    broken = reloader.catalogue.broken
    return [Diagnosis(f"service {each.name}", works=False, detail=each.reason) for each in broken]


def _details(diagnosis: Diagnosis) -> str:
    return "\n".join(part for part in (diagnosis.detail, diagnosis.remedy) if part)
