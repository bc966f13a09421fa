"""The reading of all projects of a process: a fault of one is its own, and the others are served."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from treadle.extend.loader import Plugins
from treadle.extend.selection import check_service, image_runtimes
from treadle.intake.catalogue import Broken, Served
from treadle.intake.payload_checks import payload_checks
from treadle.intake.project_folders import Stamp, guessed_name, is_project, projects_in, stamp
from treadle.intake.projects import NotAProject, project_name, read_service
from treadle.intake.validation_pool import ValidationPool
from treadle.interface.errors import ServiceError
from treadle.interface.service import Service
from treadle.interface.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Project:
    """One project, as it was read last: a value."""

    path: Path
    stamp: Stamp
    """That of the files which were read."""
    name: str
    """The name of its service; where it can't be read, the one that it most likely has."""
    served: Served | None = None
    """What its files say; None if they are damaged."""
    fault: str | None = None
    """Why the service is broken; None if it works."""
    by_host: bool = False
    """Whether the fault is one of the host, which may pass while the files stay the same."""


class ProjectReader:
    """Reads the projects that the settings name; it keeps nothing, and its methods block on the disk."""

    def __init__(self, settings: Settings, plugins: Plugins, pool: ValidationPool) -> None:
        self._settings = settings
        self._plugins = plugins
        self._pool = pool

    def paths(self, known: Collection[Path] = ()) -> list[Path]:
        """Return the folders of the projects: those that are named, then those in the folder of services.

        Where that folder can't be listed, it has those that are known.
        """
        folder = self._settings.services
        named = list(dict.fromkeys(self._settings.projects))
        if folder is None:
            return named
        try:
            found = projects_in(folder)
        except OSError:
            found = [path for path in known if path.parent == folder]
        return [*named, *(path for path in found if path not in named)]

    def read(self, path: Path, before: Project | None = None) -> Project:
        """Return a project as its files are now. An equal service is the same value as before."""
        seen = stamp(path)
        name = before.name if before else ""
        try:
            service = self._read_service(path)
            if before and before.served and before.served.service == service:
                return self.checked(replace(before, stamp=seen))
            served = Served(service, payload_checks(service, self._pool))
        except ServiceError as error:
            return Project(
                path,
                seen,
                name or _name_of(path),
                fault=str(error),
                by_host=isinstance(error, NotAProject) or isinstance(error.__cause__, OSError),
            )
        except Exception as error:  # noqa: BLE001  # a file may be strange in any way; it is its service's own
            fault = f"{path} can't be read: {error!r}"
            _log_once(before, fault, "project %s can't be read", path)
            by_host = isinstance(error, OSError | MemoryError)
            return Project(path, seen, name or _name_of(path), fault=fault, by_host=by_host)
        return self.checked(Project(path, seen, service.name, served))

    def checked(self, project: Project) -> Project:
        """Return a project that was read before with what the plugins say of it now."""
        assert project.served is not None
        try:
            check_service(self._plugins, project.served.service)
        except ServiceError as error:
            return replace(project, fault=str(error), by_host=True)
        except Exception as error:  # noqa: BLE001  # a plugin's code may raise anything
            fault = f"{project.path}: a plugin failed: {error!r}"
            _log_once(project, fault, "the plugins can't check service %s", project.name)
            return replace(project, fault=fault, by_host=True)
        return replace(project, fault=None, by_host=False)

    def _read_service(self, path: Path) -> Service:
        return read_service(path, self._plugins.options, image_runtimes(self._plugins))

    def read_first(self) -> list[Project]:
        """Return all projects, at the start of a process.

        Raises ServiceError where there is nothing to serve: a named folder is no project, the folder of
        services holds none, or all that is named is broken, and there is no such folder.
        """
        folder = self._settings.services
        paths = self.paths()
        if folder is not None and set(paths) <= set(self._settings.projects):
            raise ServiceError(f"services: {folder} holds no service project")
        for path in self._settings.projects:
            if not (path.is_dir() and is_project(path)):
                self._read_service(path)  # which raises the error
        projects = [self.read(path) for path in paths]
        faults = [project.fault for project in projects if project.fault]
        if folder is None and faults and len(faults) == len(projects):
            raise ServiceError("; ".join(faults))
        return projects


def _log_once(before: Project | None, fault: str, text: str, subject: object) -> None:
    """Log the exception that is handled, unless it was that at the look before: there is one each second."""
    if before is None or before.fault != fault:
        log.exception(text, subject)


def divide(projects: Collection[Project], holders: Mapping[str, Path]) -> tuple[list[Served], list[Broken]]:
    """Return the services that are served, and what is broken, a second service of a name included.

    A name belongs to the project that has it already (holders), broken or not, else to the first that works.
    """
    holder = {each.name: each.path for each in projects if holders.get(each.name) == each.path}
    for project in projects:
        if project.fault is None:
            holder.setdefault(project.name, project.path)
    return list(_served(projects, holder)), list(_broken(projects, holder))


def _served(projects: Collection[Project], holder: Mapping[str, Path]) -> Iterator[Served]:
    for project in projects:
        if project.fault is None and project.served and holder[project.name] == project.path:
            yield project.served


def _broken(projects: Collection[Project], holder: Mapping[str, Path]) -> Iterator[Broken]:
    for project in projects:
        if project.fault is not None:
            yield Broken(project.name, project.path, project.fault)
        elif (other := holder[project.name]) != project.path:
            yield Broken(
                project.name,
                project.path,
                f"{other} and {project.path} are both named {project.name!r}: "
                "set `name` in the treadle.toml of one of them",
            )


def _name_of(path: Path) -> str:
    """Return the name that a damaged project most likely has."""
    for name in (guessed_name(path), path.name):
        with suppress(ServiceError):
            return project_name(name, path)
    return path.name
