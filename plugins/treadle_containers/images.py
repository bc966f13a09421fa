"""Where a service's image comes from: its name, an archive beside the project, or its Dockerfile."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from pathlib import Path

from treadle import Service, ServiceError
from treadle_containers.context import Context
from treadle_containers.engine import ContainerEngine, ImageInfo, NoSuchImage, Report

_ARCHIVE = "image.tar"


class Images:
    """Makes services' images ready on one engine. Nothing is fetched unless the service says so."""

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: dict[str, ImageInfo] = {}
        self._tags: dict[Path, tuple[str, str]] = {}
        """For each project its signature and the tag it had then: nothing is read again without need."""

    async def ready(self, service: Service, report: Report) -> tuple[str, ImageInfo]:
        """Return the service's image, by its name, on this host by now; raise NoSuchImage or EngineError."""
        tag = str(service.options.get("image") or await asyncio.to_thread(self._tag, service))
        async with self._one_at_a_time[tag]:
            if tag not in self._known:
                self._known[tag] = await self._find(service, tag, report)
        return tag, self._known[tag]

    def forget(self) -> None:
        """Look for every image anew: one was not there any more when it was needed."""
        self._known.clear()

    def _tag(self, service: Service) -> str:
        """Return the name of the image that is made from the project as it is now."""
        archive = service.path / _ARCHIVE
        context = Context(service.path)
        signature = _stat(archive) if archive.exists() else context.signature()
        known, tag = self._tags.get(service.path, ("", ""))
        if signature != known:
            digest = _file_digest(archive) if archive.exists() else context.digest()
            tag = f"localhost/treadle/{service.name.lower()}:{digest}"
            self._tags[service.path] = (signature, tag)
        return tag

    async def _find(self, service: Service, tag: str, report: Report) -> ImageInfo:
        if (found := await self._engine.image(tag)) is None:
            await self._get(service, tag, report)
            found = await self._engine.image(tag)
        if found is None:
            raise NoSuchImage(f"{tag} is not there although it was just made; is somebody removing images?")
        return found

    async def _get(self, service: Service, tag: str, report: Report) -> None:
        if "image" in service.options:
            if not service.options.get("pull", False):
                raise NoSuchImage(
                    f"image {tag!r} is not on this host, and nothing is fetched: load it with "
                    f"`{self._engine.name} load`, or set `pull = true`"
                )
            await self._engine.pull(tag, report)
        elif (archive := service.path / _ARCHIVE).exists():
            await self._engine.load(tag, archive, report)
        else:
            context = await asyncio.to_thread(Context(service.path).pack)
            with context:
                await self._engine.build(tag, context, report)


def check_source(service: Service) -> None:
    """Raise ServiceError unless the service says where its image comes from."""
    sources = (service.path / _ARCHIVE, service.path / "Dockerfile")
    if "image" not in service.options and not any(source.exists() for source in sources):
        raise ServiceError(
            f"{service.path}: there is no image: set `image` in treadle.toml, add a Dockerfile, or put "
            f"an archive beside it as {_ARCHIVE}"
        )


def _stat(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
