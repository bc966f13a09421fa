"""The installers, uv and pip: the commands by which an environment is made and filled."""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from treadle import StartError
from treadle_python.building.tools import Tools

Words = tuple[str | Path, ...]

WHEELS = "wheels"
"""The folder in a project whose packages are always looked at."""


class Sources:
    """Where packages come from: folders, and the indexes that the installer is configured for."""

    def __init__(self, project: Path, find_links: Sequence[Path], *, offline: bool) -> None:
        own = project / WHEELS
        self.folders = (*find_links, *((own,) if own.is_dir() else ()))
        self.offline = offline

    @property
    def words(self) -> Words:
        """The arguments for either installer."""
        links = tuple(word for folder in self.folders for word in ("--find-links", folder))
        return (*links, *(("--no-index",) if self.offline else ()))


class Installer(ABC):
    """Makes environments with the interpreter that it is given, and installs into them."""

    name: ClassVar[str]

    def __init__(self, tools: Tools, sources: Sources) -> None:
        self._tools = tools
        self._sources = sources

    @abstractmethod
    async def create(self, python: Path, path: Path) -> None:
        """Make an environment without packages. Raises StartError."""

    @abstractmethod
    async def install(self, path: Path, file: Path) -> None:
        """Install what a file of requirements names. Raises StartError."""

    @abstractmethod
    async def sync(self, project: Path, python: Path, path: Path) -> None:
        """Install what the project's uv.lock names. Raises StartError."""


class Uv(Installer):
    """Works by uv: quick, with a cache of its own."""

    name = "uv"

    async def create(self, python: Path, path: Path) -> None:
        """Make an environment by `uv venv`; it has no pip."""
        await self._tools.run(
            "uv venv", (*_uv(), "venv", "--quiet", "--no-project", "--python", python, path)
        )

    async def install(self, path: Path, file: Path) -> None:
        """Install by `uv pip install`."""
        words = ("pip", "install", "--python", path / "bin" / "python", "--requirements", file)
        await self._tools.run("uv pip install", (*_uv(), *words, *self._sources.words, *self._offline))

    async def sync(self, project: Path, python: Path, path: Path) -> None:
        """Install by `uv sync`; from wheel folders, which a lock does not name, by an export of the lock."""
        if self._sources.folders or self._sources.offline:
            file = path / "locked.txt"
            await export_lock(self._tools, project, file)
            await self.install(path, file)
            return
        words = ("sync", "--locked", "--no-dev", "--project", project, "--python", python)
        await self._tools.run("uv sync", (*_uv(), *words), {"UV_PROJECT_ENVIRONMENT": str(path)})

    @property
    def _offline(self) -> Words:
        return ("--offline",) if self._sources.offline else ()


class Pip(Installer):
    """Works by the standard library's venv, and the pip that this puts into each environment."""

    name = "pip"

    async def create(self, python: Path, path: Path) -> None:
        """Make an environment by `python -m venv`, with pip."""
        await self._tools.run("python -m venv", (python, "-m", "venv", path))

    async def install(self, path: Path, file: Path) -> None:
        """Install by `pip install`."""
        words = ("-m", "pip", "install", "--requirement", file)
        await self._tools.run("pip install", (path / "bin" / "python", *words, *self._sources.words))

    async def sync(self, project: Path, python: Path, path: Path) -> None:
        """Raise StartError: pip can't read a uv.lock."""
        raise StartError(
            "BUILD_FAILED",
            f"{project}: uv.lock can be read by uv only: install uv (`pip install uv`), or put what "
            "`uv export --no-hashes` prints into requirements.txt",
        )


def installer(name: str, tools: Tools, sources: Sources) -> Installer:
    """Return the installer of a name; `auto` is uv where it is there, else pip. Raises StartError."""
    if name == "uv" and not _uv():
        raise StartError("BUILD_FAILED", "engine.toml asks for the installer uv, which is not on the PATH")
    return Uv(tools, sources) if name != "pip" and _uv() else Pip(tools, sources)


async def export_lock(tools: Tools, project: Path, file: Path) -> None:
    """Write what a uv.lock names to a file of requirements. Raises StartError, where there is no uv too."""
    if not (uv := _uv()):
        raise StartError("BUILD_FAILED", f"{project}: uv.lock can be read by uv only: install uv")
    words = (
        "export",
        "--frozen",
        "--no-dev",
        "--no-emit-project",
        "--no-hashes",
        "--format",
        "requirements-txt",
    )
    await tools.run("uv export", (*uv, *words, "--quiet", "--project", project, "--output-file", file))


def _uv() -> Words:
    """Return the command of uv: beside this interpreter, or on the PATH; empty if there is none."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    return () if found is None else (found,)
