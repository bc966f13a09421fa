"""`treadle wheels`: collects what a project requires as wheels, for a host without a network.

For this host's platform, and a Python that is here, pip builds what has no wheel. For any other it only takes
the wheels that an index has.
"""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from treadle import StartError
from treadle_python.building.builder import file_of
from treadle_python.building.installers import WHEELS, Pip, Sources, export_lock
from treadle_python.building.interpreters import Interpreter, ask, choose
from treadle_python.building.other_hosts import pip_as_on
from treadle_python.building.requirements import CONDA, LOCK, Requirements, requirements_of
from treadle_python.building.tools import Tools
from treadle_python.building.version_request import VersionRequest, version_request

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_VERSION = re.compile(r"3\.\d+(\.\d+)?")
_BOUNDS = re.compile(r"[\s<>=!]*3[\s\d.,*<>=!]*")
_GLIBC = 28
"""The minor version of glibc 2 that another host is taken to have, if only its machine is named: that of
Debian 10 and Red Hat 8."""
_FIRST_GLIBC = 5
_NAMED = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
"""The older names of the tags for some versions of glibc."""
_TAG = re.compile(r"(manylinux|musllinux|linux|macosx|win)[_a-z0-9]*")
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_(\w+)")


@click.command()
@click.argument("project", type=_FOLDER, default=".")
@click.option(
    "--dest", type=click.Path(file_okay=False, path_type=Path), help="The folder.  [default: PROJECT/wheels]"
)
@click.option(
    "--python",
    "version",
    metavar="VERSION",
    help="The Python of the other host, such as 3.12.  [default: what the project asks for, else this one's]",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="PLATFORM",
    help="Its platform: a machine such as aarch64, or a wheel's tag such as manylinux_2_28_x86_64.  "
    "[default: this host's]",
)
def wheels(project: Path, dest: Path | None, version: str | None, platforms: Sequence[str]) -> None:
    """Collect the wheels of all that PROJECT requires, for a host without a network.

    There, `treadle build --offline` installs from PROJECT/wheels, or from the folder of --find-links.
    """
    project = project.absolute()
    dest = (dest or project / WHEELS).absolute()
    dest.mkdir(parents=True, exist_ok=True)
    asyncio.run(_collect(project, dest, version, platforms))
    click.echo(f"wheels in {dest}: {len([*dest.glob('*.whl')])}")


async def _collect(project: Path, dest: Path, version: str | None, platforms: Sequence[str]) -> None:
    """Collect the wheels; raise StartError if that is impossible."""
    requirements = requirements_of(project)
    if requirements is None:
        raise StartError("BUILD_FAILED", f"{project} requires no packages")
    if requirements.kind == CONDA:
        raise StartError(
            "BUILD_FAILED", f"{project}: {requirements.file.name} names packages of conda, not wheels"
        )
    if version is not None and not _VERSION.fullmatch(version):
        raise StartError("BUILD_FAILED", f"--python {version} is no version of Python: name one such as 3.12")
    tags = tuple(tag for each in platforms for tag in _tags(each))
    request = version_request(project, version or _of_treadle_toml(project))
    python, target = await asyncio.to_thread(_python, project, request)
    tools = Tools(project, click.echo)
    with tempfile.TemporaryDirectory(prefix="treadle-wheels-") as folder:
        path = Path(folder)
        sources = Sources(project, (), offline=False)
        pip = await _pip(tools, sources, python, path / "environment", any_version=bool(tags or target))
        words = ("--requirement", await _file(tools, project, requirements, path), *sources.words)
        if not tags and target is None:
            await tools.run("pip wheel", (*pip, "wheel", "--wheel-dir", dest, *words))
            return
        version, platforms = target or python.name, tags or tuple(_tags(""))
        other = (
            "--python-version",
            version,
            "--implementation",
            "cp",
            "--only-binary",
            ":all:",
        )
        named = (word for tag in platforms for word in ("--platform", tag))
        as_there = pip_as_on(pip, version, platforms[0])
        await tools.run("pip download", (*as_there, "download", "--dest", dest, *other, *named, *words))


async def _pip(
    tools: Tools, sources: Sources, python: Interpreter, path: Path, *, any_version: bool
) -> tuple[str | Path, ...]:
    """Return the command of a pip of the interpreter, or of any; without one an environment is made."""
    own = await asyncio.to_thread(ask, Path(sys.executable))
    will_do = any_version or (own is not None and own.path == python.path)
    if will_do and importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    await Pip(tools, sources).create(python.path, path)
    return (path / "bin" / "python", "-m", "pip")


def _python(project: Path, request: VersionRequest | None) -> tuple[Interpreter, str | None]:
    """Return the interpreter whose pip collects, and the version to collect for, if that is another one."""
    try:
        return choose(project, request), None
    except StartError:
        if request is None or not _VERSION.fullmatch(request.text):
            raise
        return choose(project, None), request.text


async def _file(tools: Tools, project: Path, requirements: Requirements, path: Path) -> Path:
    if requirements.kind != LOCK:
        return file_of(requirements, path)
    await export_lock(tools, project, file := path / "locked.txt")
    return file


def _tags(name: str) -> Iterator[str]:
    """Yield the tags of the wheels that a platform takes: a machine, or a tag; empty for this host."""
    machine, glibc = name, _GLIBC
    if not name:
        machine, found = platform.machine(), re.fullmatch(r"2\.(\d+).*", platform.libc_ver()[1])
        glibc = int(found[1]) if found else _GLIBC
    elif found := _MANYLINUX.fullmatch(name):
        glibc, machine = int(found[1]), found[2]
    elif _TAG.fullmatch(name):
        yield name
        return
    for minor in range(glibc, _FIRST_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in _NAMED:
            yield f"{_NAMED[minor]}_{machine}"
    yield f"linux_{machine}"


def _of_treadle_toml(project: Path) -> str | None:
    """Return the version that `python` in treadle.toml asks for; None if it names none."""
    try:
        value = tomllib.loads((project / "treadle.toml").read_text("utf-8")).get("python")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StartError("BUILD_FAILED", f"{project / 'treadle.toml'} can't be read: {error}") from error
    return value if isinstance(value, str) and _BOUNDS.fullmatch(value) else None
