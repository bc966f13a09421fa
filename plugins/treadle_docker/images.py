"""Requests about images, with aiodocker's client."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from treadle_containers import TAG_LABEL, EngineError, ImageInfo, NotLoaded, Report
from treadle_docker.client import Docker, DockerError

_NOT_FOUND = 404


async def find(docker: Docker, name: str) -> ImageInfo | None:
    """Return an image of this host by its name, or None if there is none."""
    try:
        image = await docker.images.inspect(name)
    except DockerError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
    return ImageInfo.of(image, image["Config"].get("User"))


async def build(docker: Docker, tag: str, context: IO[bytes], dockerfile: str, report: Report) -> None:
    """Build an image, and leave no container behind, also if it fails."""
    progress = docker.images.build(
        fileobj=context,
        encoding="identity",
        path_dockerfile=dockerfile,
        tag=tag,
        labels={TAG_LABEL: tag},
        forcerm=True,
        stream=True,
    )
    async for event in progress:
        _report(event, report)


async def load(docker: Docker, tag: str, archive: Path, report: Report) -> None:
    """Load the image of an archive, and tag it."""
    loaded = ""
    with archive.open("rb") as file:
        async for event in docker.images.import_image(file, stream=True):
            _report(event, report)
            for prefix in ("Loaded image ID: ", "Loaded image: "):
                if (line := event.get("stream", "")).startswith(prefix):
                    loaded = line.removeprefix(prefix).strip()
    if not loaded:
        raise NotLoaded(f"{archive} holds no image")
    repository, _, version = tag.rpartition(":")
    await docker.images.tag(loaded, repository, tag=version)


async def pull(docker: Docker, name: str, report: Report) -> None:
    """Pull an image."""
    async for event in docker.images.pull(name, stream=True):
        _report(event, report)


async def listed(docker: Docker, repository: str) -> list[tuple[str, datetime]]:
    """Return the names, and the times, of the images whose name begins like that."""
    return [
        (name, datetime.fromtimestamp(image["Created"], UTC))
        for image in await docker.images.list()
        for name in image["RepoTags"] or ()
        if name.startswith(repository)
    ]


def _report(event: Mapping[str, Any], report: Report) -> None:
    """Report one event of a build, load or pull as a line; raise EngineError for one that is an error."""
    if "error" in event:
        raise EngineError(event["error"])
    parts = (event.get("stream"), event.get("id"), event.get("status"), event.get("progress"))
    if line := " ".join(str(part).strip() for part in parts if part).strip():
        report(line)
