"""The image of a service: a named one, an archive in the project, or one built from its Dockerfile."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import defaultdict
from pathlib import Path

from treadle import Service, ServiceError, open_untrusted
from treadle_containers.context import Context
from treadle_containers.engine import ContainerEngine, ImageInfo, NoSuchImage, Report
from treadle_containers.options import ImageOptions

_ARCHIVE = "image.tar"


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

        Raises NoSuchImage or EngineError.
        """
        tag = _options(service).image
        if tag is None:
            tag = await asyncio.to_thread(self._tag, service)
        async with self._locks[tag]:
            if tag not in self._cache:
                self._cache[tag] = await self._ensure(service, tag, report)
        return tag, self._cache[tag]

    async def missing(self, service: Service) -> str | None:
        """Return why an image that the service names is not to be had; None if it is, or is made or fetched.

        Raises EngineError.
        """
        options = _options(service)
        if options.image is None or options.pull or await self._engine.image(options.image) is not None:
            return None
        return self._not_here(options.image)

    def forget(self) -> None:
        """Clear the cache of images; called after an image turned out to be missing."""
        self._cache.clear()

    def _tag(self, service: Service) -> str:
        """Return the name of the image that the project's present files result in."""
        archive = service.path / _ARCHIVE
        context = Context(service.path)
        signature = _signature(archive) if archive.exists() else context.signature()
        previous, tag = self._tags.get(service.path, ("", ""))
        if signature != previous:
            digest = _file_digest(archive) if archive.exists() else context.digest()
            tag = f"localhost/treadle/{service.name.lower()}:{digest}"
            self._tags[service.path] = (signature, tag)
        return tag

    async def _ensure(self, service: Service, tag: str, report: Report) -> ImageInfo:
        if (image := await self._engine.image(tag)) is None:
            await self._obtain(service, tag, report)
            image = await self._engine.image(tag)
        if image is None:
            raise NoSuchImage(
                f"image {tag} is missing although it was just made: another process may remove images"
            )
        return image

    async def _obtain(self, service: Service, tag: str, report: Report) -> None:
        options = _options(service)
        if options.image is not None:
            if not options.pull:
                raise NoSuchImage(self._not_here(tag))
            await self._engine.pull(tag, report)
        elif (archive := service.path / _ARCHIVE).exists():
            await self._engine.load(tag, archive, report)
        else:
            context = await asyncio.to_thread(Context(service.path).pack)
            with context:
                await self._engine.build(tag, context, report)

    def _not_here(self, tag: str) -> str:
        return (
            f"image {tag!r} is not on this host, and nothing is fetched: load it with "
            f"`{self._engine.name} load`, or set `pull = true`"
        )


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
    sources = (service.path / _ARCHIVE, service.path / "Dockerfile")
    if _options(service).image is None and not any(source.exists() for source in sources):
        raise ServiceError(
            f"{service.path}: there is no image: set `image` in treadle.toml, add a Dockerfile, or put "
            f"an archive beside it as {_ARCHIVE}"
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
