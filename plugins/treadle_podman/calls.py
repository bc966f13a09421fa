"""Calls of Podman's service about one container, for what podman-py makes more than one of, or gets wrong."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from podman import PodmanClient
from podman.api.client import APIResponse
from podman.domain.containers import Container

NOT_FOUND, CONFLICT, NOT_MODIFIED, INTERNAL = 404, 409, 304, 500
"""What the service's answers say by their status."""
_ENDING = re.compile(r"/proc/\d+/cgroup: no such (process|file)")
"""What Podman says of a container whose process ends while it is looked at."""
_ENDING_LOOKS, _ENDING_PAUSE = 400, 0.005
"""How often such a container is looked at, and seconds between two looks."""


def handle(podman: PodmanClient, container: str) -> Container:
    """Return a container to call, without asking Podman for it first."""
    return Container(attrs={"Id": container}, client=podman.api)


def missing(answer: APIResponse) -> bool:
    """Say whether there is no such container; one that is just being removed is told by an internal error."""
    if answer.status_code == INTERNAL:
        return "no such container" in answer.text
    return bool(answer.status_code == NOT_FOUND)


def show(podman: PodmanClient, container: str) -> dict[str, Any] | None:
    """Return a container, or None if there is none; one that is just ending is looked at again."""
    for _ in range(_ENDING_LOOKS):
        answer = podman.api.get(f"/containers/{container}/json")
        if not (answer.status_code == INTERNAL and _ENDING.search(answer.text)):
            break
        time.sleep(_ENDING_PAUSE)
    if missing(answer):
        return None
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def remove_at_once(podman: PodmanClient, container: str) -> None:
    """Remove a container, running or not; one that has gone, or is just being removed, is no error."""
    at_once = {"force": True, "v": True, "timeout": 0}  # podman-py would wait for a polite end
    answer = podman.api.delete(f"/containers/{container}", params=at_once)
    if not missing(answer) and answer.status_code != CONFLICT:
        answer.raise_for_status()


def log_path(podman: PodmanClient, container: str) -> Path | None:
    """Return the file that a container's log is in, if that is on this host."""
    config = (show(podman, container) or {}).get("HostConfig", {}).get("LogConfig", {})
    path = Path(config.get("Path") or "")
    return path if config.get("Type") == "k8s-file" and path.is_file() else None
