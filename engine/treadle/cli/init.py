"""`treadle init`: makes a new service project."""

from __future__ import annotations

import shlex
from importlib.resources import as_file, files
from pathlib import Path

import click

from treadle.intake.projects import project_name
from treadle.interface.errors import TreadleError

_NAME = "{{name}}"


@click.command()
@click.argument("path", metavar="NAME", type=click.Path(path_type=Path))
def init(path: Path) -> None:
    """Make a new service project in the folder NAME, ready to run."""
    if path.exists() and any(path.iterdir() if path.is_dir() else [path]):
        raise TreadleError(f"{path} exists already: choose another name")
    name = project_name(path.name, path)
    with as_file(files("treadle.cli") / "template") as template:
        for source in sorted(template.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                target = path / source.relative_to(template)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(source.read_text("utf-8").replace(_NAME, name), "utf-8")
    quoted = shlex.quote(str(path))
    click.echo(f"{path} is ready: try `treadle run {quoted}`, then `treadle serve {quoted}`")
