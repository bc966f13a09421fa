"""`treadle doctor`: checks whether this host can run services."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Iterable
from typing import Any

import click

from treadle.cli.options import engine_options, settings_of
from treadle.cli.table import print_table
from treadle.extend.loader import Plugins
from treadle.interface.runtime import Diagnosis
from treadle.interface.settings import Settings


@click.command()
@engine_options("plugins_dir")
def doctor(**options: Any) -> None:
    """Check every runtime of this host, and say what to install or start.

    Exits with 1 if something does not work.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    settings = settings_of(needs_spool=False, **options)
    diagnoses = asyncio.run(_diagnose(Plugins(settings), settings))
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
    await plugins.close()
    return diagnoses


def _details(diagnosis: Diagnosis) -> str:
    return "\n".join(part for part in (diagnosis.detail, diagnosis.remedy) if part)
