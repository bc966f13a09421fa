"""The image of a service: a named one, an archive in the project, or one built from its Dockerfile."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from treadle import Service, ServiceError, open_untrusted
from treadle_containers.context import Context
from treadle_containers.dockerfile import dockerfile_of
from treadle_containers.engine import (
    ContainerEngine,
    EngineError,
    EngineUnreachable,
    ImageInfo,
    NoSuchImage,
    Report,
)
from treadle_containers.obtaining import ARCHIVE, faults_of_files, lacking, obtain
from treadle_containers.options import ImageOptions

log = logging.getLogger(__name__)

_REPOSITORY = "localhost/treadle/"
"""How the names of the images begin that are made here."""


class Images:
    """The services' images on one container engine: a cache in memory, for the life of the runtime.

    Tasks that need the same image wait for one build, load or pull. Nothing is pulled unless the service
    asks for it.
    """

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._cache: dict[str, ImageInfo] = {}
        self._tags: dict[Path, tuple[str, str]] = {}
        """By project: its signature and its tag. A project is read again only when its signature differs."""

    async def ready(self, service: Service, report: Report) -> tuple[str, ImageInfo]:
        """Build, load or pull the service's image if this host lacks it, and return its name and info.

        Raises NoSuchImage, NotFetched, NotLoaded, NotBuilt or EngineError.
        """
        tag = _options(service).image
        if tag is None:
            with faults_of_files():
                tag = await asyncio.to_thread(self._tag, service)
        async with self._locks[tag]:
            if tag not in self._cache:
                self._cache[tag] = await self._ensure(service, tag, report)
        return tag, self._cache[tag]

    async def missing(self, service: Service) -> str | None:
        """Return why the service's image is not to be had, as `lacking` does; None if it is here.

        Raises EngineError.
        """
        lack = await lacking(self._engine, service)
        if lack is None or _options(service).image is not None:
            return lack
        try:
            tag = await asyncio.to_thread(self._tag, service)
        except (OSError, ValueError):
            return None  # a job tells
        return lack if await self._engine.image(tag) is None else None

    async def prune(self, keep: int, service: Service | None, dry_run: bool) -> list[str]:
        """Remove images that were made here, and return their names.

        keep: how many stay of each service, the newest ones; the present one of a service that is given stays
        in any case, and the images of others are left alone. One that a container uses stays, too.
        """
        if service is not None and _options(service).image is not None:
            return []
        current = None if service is None else await asyncio.to_thread(self._tag, service)
        repository = _REPOSITORY if current is None else current.rpartition(":")[0] + ":"
        made: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
        for name, created in await self._engine.images(repository):
            made[name.rpartition(":")[0]].append((created, name))
        removed = []
        for each in made.values():
            for _, name in sorted(each, reverse=True)[keep:]:
                if name != current and (dry_run or await self._remove(name)):
                    removed.append(name)
        return removed

    async def _remove(self, name: str) -> bool:
        try:
            await self._engine.remove_image(name)
        except EngineUnreachable:
            raise
        except EngineError as error:
            log.info("image %s stays: %s", name, error)
            return False
        self._cache.pop(name, None)
        return True

    def forget(self) -> None:
        """Clear the cache of images; called after an image turned out to be missing."""
        self._cache.clear()

    def _tag(self, service: Service) -> str:
        """Return the name of the image that the project's present files result in."""
        archive = service.path / ARCHIVE
        context = None if archive.exists() else Context(service.path)
        signature = _signature(archive) if context is None else context.signature()
        previous, tag = self._tags.get(service.path, ("", ""))
        if signature != previous:
            digest = _file_digest(archive) if context is None else context.digest()
            tag = f"{_REPOSITORY}{service.name.lower()}:{digest}"
            self._tags[service.path] = (signature, tag)
        return tag

    async def _ensure(self, service: Service, tag: str, report: Report) -> ImageInfo:
        if (image := await self._engine.image(tag)) is None:
            await obtain(self._engine, service, tag, report)
            image = await self._engine.image(tag)
        if image is None:
            raise NoSuchImage(
                f"image {tag} is missing although it was just made: another process may remove images"
            )
        return image


class BuildLog:
    """build.log in an attempt's folder: the progress of the image that the attempt was the first to need.

    An instance is a Report. The file appears with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, line: str) -> None:
        """Append a line."""
        fd = open_untrusted(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with os.fdopen(fd, "a", encoding="utf-8", errors="replace") as file:
            file.write(line.rstrip("\n") + "\n")


def check_source(service: Service) -> None:
    """Raise ServiceError unless the service has a source for its image."""
    made_of = (service.path / ARCHIVE).exists() or dockerfile_of(service.path) is not None
    if _options(service).image is None and not made_of:
        raise ServiceError(
            f"{service.path}: there is no image: set `image` in treadle.toml, add a Dockerfile, or put "
            f"an archive beside it as {ARCHIVE}"
        )


def _options(service: Service) -> ImageOptions:
    return service.options_of(ImageOptions, "container")


def _signature(path: Path) -> str:
    """Return a file's metadata, to see without reading it whether the file has changed."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
