"""Which container engines this host has; where one is required and missing, that is a failure."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

from tests.images import client, import_image, reach_service
from tests.leftovers import remember

RUNTIMES = ("python", "docker", "podman")
CONTAINERS = ("docker", "podman")


@functools.cache
def why_not(engine: str) -> str | None:
    """Make the test image known to an engine; return why that can't be done, or None."""
    if shutil.which(client(engine)) is None:
        return f"there is no {engine} on this host"
    try:
        remember(engine)
        import_image(engine)
        reach_service(engine)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        return f"{engine} does not work on this host: {error}"
    return None


@functools.cache
def limits(engine: str) -> bool:
    """Return whether an engine can limit what containers use: without root's rights it may be unable to."""
    if engine != "podman":
        return True
    command = [client(engine), "info", "--format", "{{.Host.CgroupControllers}}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "memory" in shown


def need_limits(engine: str) -> None:
    """Skip the test, with the reason, where the engine can't limit what a container uses."""
    if not limits(engine):
        pytest.skip(f"{engine} has no control groups of its own on this host, so it sets no limits")


def need(engine: str) -> None:
    """Skip the test, with the reason, where there is no such engine; fail it where one is required."""
    if engine == "python" or (reason := why_not(engine)) is None:
        return
    if os.environ.get("TREADLE_REQUIRE_ENGINES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
