"""The build of a service's environment, from what its project requires to the link that leads to it.

1. An environment that the service names, or a `.venv` of the user's own, is used as it is.
2. The requirements, the Python that is asked for and the interpreter that will do give a digest. If there is
   a complete environment of that digest, there is nothing to make.
3. It is made beside the others and, once it is complete, the link is switched (store.py). What fails or is
   interrupted is removed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from treadle import Build, Service, StartError
from treadle_python.building import conda
from treadle_python.building.installers import WHEELS, Sources, installer
from treadle_python.building.interpreters import Interpreter, choose
from treadle_python.building.requirements import CONDA, LOCK, Requirements, digest_of, requirements_of
from treadle_python.building.store import FOLDER, Made, Store
from treadle_python.building.tools import Tools
from treadle_python.building.version_request import VersionRequest, version_request

_LAYOUT = "1"
"""Counted up when environments of an earlier version are to be made again."""


class Builder:
    """Builds the environment of one service, once."""

    def __init__(self, service: Service, build: Build, installer_name: str) -> None:
        self._service = service
        self._project = service.path
        self._build = build
        self._installer = installer_name
        self._store = Store(service.path)

    async def run(self) -> None:
        """Make the environment, unless it is there. Raises StartError.

        A cancelled call leaves nothing that is used half made.
        """
        if (own := _own_environment(self._service, self._store)) is not None:
            self._build.report(own)
            return
        requirements = await asyncio.to_thread(requirements_of, self._project)
        request = version_request(self._project, self._service.python_version)
        if requirements is not None and requirements.kind == CONDA:
            await self._adopt(requirements)
        elif requirements is None and request is None:
            self._build.report(f"{self._project} requires no packages: its jobs run in the engine's Python")
        else:
            python = await asyncio.to_thread(choose, self._project, request)
            await self._make(requirements, request, python)

    async def _make(
        self, requirements: Requirements | None, request: VersionRequest | None, python: Interpreter
    ) -> None:
        of_files = requirements_digest(self._project, requirements, request)
        digest = environment_digest(of_files, python)
        if not self._build.prune and self._store.is_current(digest):
            self._tell_that_it_is_there(digest)  # in a project that can't be written to, too
            return
        async with self._store.lock(self._build.report) as lock:
            if self._store.record(digest) is None:
                await self._fill(digest, requirements, python, lock)
                made = Made(of_files, python.name, self._installer)
                await asyncio.to_thread(self._store.complete, digest, made)
            else:
                self._tell_that_it_is_there(digest)
            self._store.switch(digest)
            await self._tidy()

    def _tell_that_it_is_there(self, digest: str) -> None:
        self._build.report(f"{self._store.path(digest)} is there, and what it was made from is the same")

    async def _fill(
        self, digest: str, requirements: Requirements | None, python: Interpreter, lock: int
    ) -> None:
        """Make the environment; remove it again if that fails."""
        path, build = self._store.path(digest), self._build
        await asyncio.to_thread(self._store.remove_half_made)
        await asyncio.to_thread(self._store.remove, digest)  # it may be the current one, and damaged
        sources = Sources(self._project, build.find_links, offline=build.offline)
        if build.offline and requirements is not None and not sources.folders:
            raise StartError(
                "BUILD_FAILED",
                f"{self._project}: there is no wheel folder: name one with --find-links, or put it into the "
                f"project as {WHEELS}/",
            )
        tools = Tools(self._project, build.report, lock=lock, offline=build.offline)
        chosen = installer(self._installer, tools, sources)
        self._installer = chosen.name
        origin = requirements.file.name if requirements else "no requirements"
        build.report(f"making {path} from {origin}, with Python {python.name} and {chosen.name}")
        try:
            await chosen.create(python.path, path)
            if requirements is not None and requirements.kind == LOCK:
                await chosen.sync(self._project, python.path, path)
            elif requirements is not None:
                await chosen.install(path, file_of(requirements, path))
        except StartError as error:
            self._store.remove(digest)
            raise StartError(error.code, f"{self._project}: {error}") from error
        except BaseException:
            self._store.remove(digest)
            raise

    async def _adopt(self, requirements: Requirements) -> None:
        """Have the link lead to the prefix that an environment.yml names; StartError if there is none."""
        prefix = conda.prefix_named(requirements.file)
        if prefix is None:
            command = conda.command_to_make(self._project, requirements.file, self._store.link)
            raise StartError(
                "BUILD_FAILED",
                f"{self._project}: Treadle makes no environment from {requirements.file.name}; this command "
                f"does, and it is used then: {command}",
            )
        async with self._store.lock(self._build.report):
            self._store.lead_to(str(prefix))
        self._build.report(f"{self._store.link} leads to {prefix} now, which is used as it is")

    async def _tidy(self) -> None:
        """Remove earlier environments where that was asked for, else tell of them."""
        if self._build.prune:
            for digest in await asyncio.to_thread(self._store.prune):
                self._build.report(f"{self._store.path(digest)} is kept: a process uses it")
        elif earlier := self._store.earlier():
            self._build.report(
                f"earlier environments in {self._store.folder}: {len(earlier)}; `treadle build --prune` "
                "removes those that no process of this host uses"
            )


def requirements_digest(
    project: Path, requirements: Requirements | None, request: VersionRequest | None
) -> str:
    """Return the digest of what an environment is made from, without the interpreter.

    The project's path is part of it, since the scripts of an environment have it in them.
    """
    asked = "" if request is None else request.text
    files, kind = ((), "") if requirements is None else (requirements.files, requirements.kind)
    return digest_of(files, _LAYOUT, kind, asked, str(project))


def environment_digest(of_files: str, python: Interpreter) -> str:
    """Return the name of the environment that is made from requirements with an interpreter."""
    texts = (of_files, str(python.path), python.name, python.implementation, python.platform)
    return digest_of((), *texts)


def _own_environment(service: Service, store: Store) -> str | None:
    """Return what is used as it is, in a sentence; None if an environment is to be made.

    Raises StartError if it leads nowhere.
    """
    if store.is_elsewhere(service.python):
        return f"{service.name} uses {service.python}, which `python` in treadle.toml names, as it is"
    if not store.is_foreign():
        return None
    if not store.link.is_dir():
        what = "is no folder" if store.link.exists() else "leads to nothing"
        raise StartError("BUILD_FAILED", f"{store.link} {what}: remove it, and build again")
    kind = "an environment of conda" if conda.is_prefix(store.link) else "not made by Treadle"
    return f"{store.link} is {kind}, and is used as it is; remove it to have one made in {FOLDER}/"


def file_of(requirements: Requirements, path: Path) -> Path:
    """Return a file of requirements: that of the project, or one written for a pyproject.toml."""
    if requirements.file.suffix == ".txt":
        return requirements.file
    file = path / "required.txt"
    file.write_text("".join(f"{line}\n" for line in requirements.lines), "utf-8")
    return file
