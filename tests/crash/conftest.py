"""What the crash tests share."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.crash.disk import Disk


@pytest.fixture(scope="module")
def disk(tmp_path_factory, needs_strace):
    """Return a disk whose power can be cut."""
    try:
        disk = Disk(tmp_path_factory.mktemp("crash"))
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("TREADLE_REQUIRE_ENGINES") == "1":
            raise
        pytest.skip(f"no disk can be mounted here: {error}")
    yield disk
    disk.remove()
