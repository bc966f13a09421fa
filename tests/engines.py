"""Which container engines this host has; where one is required and missing, that is a failure."""

from __future__ import annotations

import functools
import os
import shutil

import pytest

from tests.images import client, import_image, reach_service

RUNTIMES = ("python", "docker", "podman")
CONTAINERS = ("docker", "podman")


@functools.cache
def why_not(engine: str) -> str | None:
    """Make the test image known to an engine; return why that can't be done, or None."""
    if shutil.which(client(engine)) is None:
        return f"there is no {engine} on this host"
    try:
        import_image(engine)
        reach_service(engine)
    except (OSError, RuntimeError) as error:
        return f"{engine} does not work on this host: {error}"
    return None


def need(engine: str) -> None:
    """Skip the test, with the reason, where there is no such engine; fail it where one is required."""
    if engine == "python" or (reason := why_not(engine)) is None:
        return
    if os.environ.get("TREADLE_REQUIRE_ENGINES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
