"""The reloader: it keeps the catalogue as the projects on the disk are, and nobody has to restart for that.

1. Look at the projects' files several times a second, by stat. A project that has changed, and has the same
   stamp in two looks, is read: whoever writes it has made a pause. One that is gone in two looks is removed.
2. About once a second the plugins check all services again, and those that are broken by a fault of the host
   are read again: an interpreter or an image may come and go while no file of the project changes.
3. What comes out is put into the catalogue as a whole, and the listeners are told.

A service whose files are damaged is broken, also while its jobs run: new jobs would run by a project that is
not there any more. The running ones end by what they began with.

Dropped: a watch of each project by inotify. The second step has to look at all of them anyway; a look costs
30 µs a project, works on network file systems, and needs none of the kernel's watches, which are few.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from treadle.extend.loader import Plugins
from treadle.extend.selection import missing
from treadle.intake.catalogue import Catalogue, Change
from treadle.intake.project_folders import Stamp, stamp
from treadle.intake.project_reader import Project, ProjectReader, divide
from treadle.interface.service import Service
from treadle.support.lifetime import Lifetime, background

log = logging.getLogger(__name__)

_LOOK = 0.3
"""Seconds between two looks at the files; as long a writer has to pause before they are read."""
_MOST_OF_A_CPU = 0.02
"""The part of a CPU's time that the looks may take; with very many projects they become rarer."""
_CHECK = 1.0
"""Seconds between two checks of all services, and two looks for what a broken one has lacked."""
_MISSING = 10.0
"""Seconds between two looks for what a service that works may lack by now."""


class Reloader(Lifetime):
    """Keeps the catalogue of one process in step with the disk, from `async with` to its end.

    Made, it has read all projects once. Used in the event loop; it reads in a thread.
    """

    def __init__(self, reader: ProjectReader, plugins: Plugins) -> None:
        """Raise ServiceError where there is nothing to serve."""
        self.catalogue = Catalogue()
        self._reader = reader
        self._plugins = plugins
        self._projects = {project.path: project for project in reader.read_first()}
        self._seen: dict[Path, Stamp] = {}
        """The stamps of the last look."""
        self._lacking: dict[Path, str] = {}
        """What this host lacks for a service that its files and the plugins say nothing against."""
        self._listeners: list[Callable[[Change], None]] = []
        self._turn = asyncio.Lock()
        self._pause = _LOOK
        self._next_check = self._next_missing = 0.0
        self._put()

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have a listener hear of each change of the catalogue, in the event loop."""
        self._listeners.append(listener)

    async def reload(self) -> Change:
        """Read and check all projects now, and return what is different."""
        async with self._turn:
            await asyncio.to_thread(self._read_all)
            await self._look_for_missing(self._projects)
            return self._put()

    def report(self, service: Service, lack: str) -> None:
        """Take note that a job could not be started for what this host lacks: the service is broken."""
        if self.catalogue.get(service.name) is service:
            self._lacking[service.path] = lack
            self._put()

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with background(self._rounds()):
            yield

    async def _rounds(self) -> None:
        while True:
            try:
                await self._round()
            except Exception:
                log.exception("the projects can't be looked at; trying again")
            await asyncio.sleep(self._pause)

    async def _round(self) -> None:
        async with self._turn:
            now = time.monotonic()
            check = now >= self._next_check
            if check:
                self._next_check = now + _CHECK
            await asyncio.to_thread(self._look, check=check)
            if check:
                due = now >= self._next_missing
                if due:
                    self._next_missing = now + _MISSING
                await self._look_for_missing(self._projects if due else self._lacking)
            self._put()

    def _look(self, *, check: bool) -> None:
        """Read what has changed and come to rest; with check, look also at what is not in the files."""
        began = time.thread_time()
        stamps = {path: stamp(path) for path in self._reader.paths(self._projects)}
        self._pause = max(_LOOK, (time.thread_time() - began) / _MOST_OF_A_CPU)
        rest = [path for path, seen in stamps.items() if seen == self._seen.get(path)]
        gone = self._projects.keys() - stamps.keys() - self._seen.keys()
        projects = {path: project for path, project in self._projects.items() if path not in gone}
        projects |= {
            path: self._at_rest(path, stamps[path], projects.get(path), check=check) for path in rest
        }
        self._projects = {path: projects[path] for path in (*stamps, *projects) if path in projects}
        self._seen = stamps

    def _at_rest(self, path: Path, seen: Stamp, project: Project | None, *, check: bool) -> Project:
        """Return a project whose files did not change between two looks, as it is now."""
        if project is None or project.stamp != seen:
            return self._reader.read(path, project)
        if not check:
            return project
        if project.served is not None:
            return self._reader.checked(project)
        return self._reader.read(path, project) if project.by_host else project

    def _read_all(self) -> None:
        before = self._projects
        self._projects = {
            path: self._reader.read(path, before.get(path)) for path in self._reader.paths(before)
        }
        self._seen = {path: project.stamp for path, project in self._projects.items()}

    async def _look_for_missing(self, paths: Collection[Path]) -> None:
        """Ask the runtimes what this host lacks for some projects, all at the same time."""
        services = {
            path: project.served.service
            for path in list(paths)
            if (project := self._projects.get(path)) and project.served and project.fault is None
        }
        lacks = await asyncio.gather(*(missing(self._plugins, each) for each in services.values()))
        for path in list(paths):
            self._lacking.pop(path, None)
        self._lacking |= {path: lack for path, lack in zip(services, lacks, strict=True) if lack is not None}

    def _put(self) -> Change:
        """Put what is known into the catalogue, and tell the listeners what is different."""
        projects = [self._as_of_host(project) for project in self._projects.values()]
        change = self.catalogue.put(*divide(projects, self.catalogue.holders))
        if change:
            for listener in self._listeners:
                listener(change)
        return change

    def _as_of_host(self, project: Project) -> Project:
        lack = self._lacking.get(project.path)
        return project if lack is None or project.fault is not None else replace(project, fault=lack)


def log_change(change: Change) -> None:
    """Log what is different in the catalogue."""
    for broken in change.broken:
        log.error("service %s is broken, and its jobs wait: %s", broken.name, broken.reason)
    for words, names in (
        ("is served", change.added),
        ("has changed: new jobs run by what it says now", change.changed),
        ("is removed; its jobs wait", change.removed),
    ):
        for name in names:
            log.info("service %s %s", name, words)
