"""Requests about a container's log."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from podman import PodmanClient

from treadle_containers import FrameParser, LogFile
from treadle_podman.calls import inspect, is_missing
from treadle_podman.logfile import copy_file

_CHUNK_SIZE = 64 * 1024


def copy_log(podman: PodmanClient, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
    """Copy the log of an ended container from its file if that is on this host, else from Podman's response.

    The frames of the response are parsed here, since podman-py does not separate the two streams.
    """
    if not follow and (path := log_path(podman, container)) and copy_file(path, into):
        return
    params = {"follow": follow, **{stream: stream in into for stream in ("stdout", "stderr")}}
    response = podman.api.get(f"/containers/{container}/logs", params=params, stream=True)
    with closing(response):
        if is_missing(response):
            return
        response.raise_for_status()
        parser = FrameParser()
        while chunk := response.raw.read1(_CHUNK_SIZE):
            for stream, payload in parser.feed(chunk).items():
                into[stream].write(payload)
            if any(each.full for each in into.values()):
                return


def log_path(podman: PodmanClient, container: str) -> Path | None:
    """Return the file of a container's log, if it is on this host."""
    config = (inspect(podman, container) or {}).get("HostConfig", {}).get("LogConfig", {})
    path = Path(config.get("Path") or "")
    return path if config.get("Type") == "k8s-file" and path.is_file() else None
