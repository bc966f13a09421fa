"""Requests about one container that podman-py sends differently, or not at all."""

from __future__ import annotations

import re
import time
from contextlib import closing
from itertools import islice
from typing import Any

from podman import PodmanClient
from podman.api.client import APIResponse
from podman.domain.containers import Container

from treadle_containers import ARCHIVE_LIMIT

NOT_FOUND, CONFLICT, NOT_MODIFIED, INTERNAL = 404, 409, 304, 500
"""Statuses of the service's responses."""
_LIMITS = {"memory": "memory", "cpu": "CPUs", "pids": "processes"}
"""By control group controller: what it limits."""
_CHUNK_SIZE = 64 * 1024
_ENDING = re.compile(r"/proc/\d+/cgroup: no such (process|file)")
"""Podman's error for a container whose process ends during the request."""
_ENDING_TRIES, _ENDING_PAUSE = 400, 0.005
"""How often such a container is inspected, and the seconds between two requests."""


def describe(podman: PodmanClient) -> str:
    """Return Podman's version, whether it is rootless, and which limits it does not apply for that."""
    response = podman.api.get("/info")
    response.raise_for_status()
    info = response.json()
    version, host = str(info["version"]["Version"]), info["host"]
    if not (host.get("security") or {}).get("rootless"):
        return version
    controllers = host.get("cgroupControllers") or ()
    unlimited = [limit for controller, limit in _LIMITS.items() if controller not in controllers]
    without = f", without limits of {', '.join(unlimited)}: its control groups are not delegated"
    return f"{version} (rootless{without if unlimited else ''})"


def handle(podman: PodmanClient, container: str) -> Container:
    """Return podman-py's object of a container, without a request to Podman."""
    return Container(attrs={"Id": container}, client=podman.api)


def is_missing(response: APIResponse) -> bool:
    """Return whether there is no such container.

    For a container that is being removed Podman responds with an internal error.
    """
    if response.status_code == INTERNAL:
        return "no such container" in response.text
    return bool(response.status_code == NOT_FOUND)


def inspect(podman: PodmanClient, container: str) -> dict[str, Any] | None:
    """Return a container as Podman describes it, or None if there is none.

    Retried for a container that is just ending.
    """
    for _ in range(_ENDING_TRIES):
        response = podman.api.get(f"/containers/{container}/json")
        if not (response.status_code == INTERNAL and _ENDING.search(response.text)):
            break
        time.sleep(_ENDING_PAUSE)
    if is_missing(response):
        return None
    response.raise_for_status()
    inspected: dict[str, Any] = response.json()
    return inspected


def archive(podman: PodmanClient, container: str, path: str) -> bytes:
    """Return a file of a container as a tar archive, at most ARCHIVE_LIMIT bytes; empty if there is none."""
    response = podman.api.get(f"/containers/{container}/archive", params={"path": path}, stream=True)
    with closing(response):
        if response.status_code == NOT_FOUND:
            return b""
        response.raise_for_status()
        return b"".join(islice(response.iter_content(_CHUNK_SIZE), ARCHIVE_LIMIT // _CHUNK_SIZE))


def force_remove(podman: PodmanClient, container: str) -> None:
    """Remove a container, running or not; a container that is missing or being removed is no error.

    The volumes that its image declares go with it. podman-py's own call would wait for the container's end,
    and it asks for the removal of volumes as `v`, which Podman 4 ignores.
    """
    params = {"force": True, "v": True, "volumes": True, "timeout": 0}
    response = podman.api.delete(f"/containers/{container}", params=params)
    if not is_missing(response) and response.status_code != CONFLICT:
        response.raise_for_status()
