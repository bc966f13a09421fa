"""`treadle run`: one job without a server."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from treadle.cli.build import build_all
from treadle.cli.options import FOLDER, FiniteRange, engine_options, settings_of
from treadle.cli.payload import read_payload
from treadle.engine import Engine
from treadle.extend.selection import lack_of
from treadle.interface.errors import ServiceError
from treadle.interface.settings import Settings
from treadle_spool import Descriptor, State, Status
from treadle_spool.folder import LOGS, RESULT
from treadle_spool.place import check_place

_LOOK = 0.5
"""Seconds between two looks whether the service is broken, so that the job does not start."""


@click.command()
@click.argument("project", type=FOLDER, default=".")
@click.option("--data", help="The input: JSON, or @FILE.  [default: the project's input/data.json]")
@click.option("--params", help="The parameters: JSON, or @FILE.  [default: the project's input/params.json]")
@click.option("--timeout", type=FiniteRange(0, min_open=True), help="Seconds it may take.")
@click.option("--build", "build_first", is_flag=True, help="First do what `treadle build` does.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the program prints.")
@engine_options("plugins_dir", "data_pools", "grace", "max_result")
def run(
    *,
    project: Path,
    data: str | None,
    params: str | None,
    timeout: float | None,
    build_first: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Run one job of PROJECT, without a server, and print its result.

    Interim results are shown on stderr as they come. Exits with 1 if the job fails.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    inputs = {
        name: read_payload(given or _default(project, name), f"--{name}")
        for name, given in (("data", data), ("params", params))
    }
    folder = Path(tempfile.mkdtemp(prefix="treadle-run-"))
    try:
        check_place(folder / "spool")
        settings = settings_of(projects=(project,), **options, jobs=1, spool=folder / "spool")
        if build_first:
            build_all(settings, _tell)
        sys.exit(asyncio.run(_run(settings, inputs, timeout, verbose)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _default(project: Path, name: str) -> str | None:
    path = project / "input" / f"{name}.json"
    if not path.exists():
        return None
    click.echo(f"--{name} is taken from {path}", err=True)
    return f"@{path}"


async def _run(settings: Settings, inputs: dict[str, Any], timeout: float | None, verbose: bool) -> int:
    console = Console(stderr=True, highlight=False)
    async with Engine(settings) as engine:
        service = engine.services.only or ""
        found = engine.services.get(service)  # it may be broken by now
        if found is not None and (lack := await asyncio.to_thread(lack_of, engine.plugins, found)):
            _tell(f"{service}: {lack}")
        engine.observers.listen(
            "interim_result",
            lambda job, value: console.print(f"interim result: {value.decode()}", markup=False),
        )
        submitted = await engine.submit(Descriptor(service=service, timeout=timeout, **inputs))
        cancelled = _cancel_on_interrupt(engine, submitted.id)
        with console.status(f"running {service}"):
            status = await _ended(engine, submitted.id)
        return 130 if cancelled.is_set() else _show(engine, status, verbose, console)


async def _ended(engine: Engine, job: str) -> Status:
    """Return the job when it has ended; raise ServiceError if it waits for what this host lacks."""
    while True:
        status = await engine.completions.status(job, _LOOK)
        if status.status.ended:
            return status
        if status.status is State.PENDING and engine.services.broken:
            raise ServiceError(engine.services.broken[0].reason)


def _cancel_on_interrupt(engine: Engine, job: str) -> asyncio.Event:
    cancelled = asyncio.Event()

    def cancel() -> None:
        cancelled.set()
        engine.spool.ask_to_cancel(job)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, cancel)
    return cancelled


def _show(engine: Engine, status: Status, verbose: bool, console: Console) -> int:
    folder = engine.spool.done / status.id
    succeeded = status.status is State.SUCCEEDED
    if verbose or not succeeded:
        for log in LOGS.values():
            if (path := folder / log).exists():
                console.out(path.read_text("utf-8", "replace"), end="", highlight=False)
    if (result := folder / RESULT).exists():
        sys.stdout.buffer.write(result.read_bytes() + b"\n")
    if not succeeded:
        click.echo(f"Error: the job is {status.status}", err=True)
    return 0 if succeeded else 1
