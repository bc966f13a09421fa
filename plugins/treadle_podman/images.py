"""Requests about an image, with podman-py's client."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from podman import PodmanClient
from podman.errors import ImageNotFound

from treadle_containers import TAG_LABEL, ImageInfo, NotLoaded


def find_image(podman: PodmanClient, name: str) -> ImageInfo | None:
    """Return an image of this host by its name, or None if there is none."""
    try:
        attributes = podman.images.get(name).attrs
    except ImageNotFound:
        return None
    return ImageInfo.of(attributes, attributes.get("User"))


def build_options(tag: str, dockerfile: str, pull: bool) -> dict[str, str]:
    """Return the parameters of a build that leaves no container behind, also if it fails."""
    return {
        "t": tag,
        "dockerfile": dockerfile,
        "layers": "true",
        "forcerm": "true",
        "pullpolicy": "missing" if pull else "never",
        "labels": json.dumps({TAG_LABEL: tag}),
    }


def load_image(podman: PodmanClient, tag: str, archive: Path) -> None:
    """Load an image from an archive and tag it; raise EngineError for an archive without an image."""
    with archive.open("rb") as file:
        headers = {"Content-type": "application/x-tar"}
        response = podman.api.post("/images/load", data=file, headers=headers)
    response.raise_for_status()
    names = response.json().get("Names") or []
    if not names:
        raise NotLoaded(f"{archive} holds no image")
    repository, _, version = tag.rpartition(":")
    podman.images.get(names[0]).tag(repository, version)


def listed(podman: PodmanClient, repository: str) -> list[tuple[str, datetime]]:
    """Return the names, and the times, of the images whose name begins like that."""
    return [
        (name, datetime.fromtimestamp(image.attrs["Created"], UTC))
        for image in podman.images.list()
        for name in image.tags
        if name.startswith(repository)
    ]
