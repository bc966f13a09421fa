"""What the crash tests share."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.crash.disk import Disk
from tests.crash.machine import Machine, why_not


@pytest.fixture(scope="module")
def disk(tmp_path_factory, needs_strace):
    """Return a disk whose power can be cut."""
    disk = _mounted(tmp_path_factory.mktemp("crash"))
    yield disk
    disk.remove()


def _mounted(folder, *options) -> Disk:
    try:
        return Disk(folder, *options)
    except (OSError, subprocess.CalledProcessError) as error:
        _skip(f"no disk can be mounted here: {error}")


def _skip(reason: str) -> None:
    if os.environ.get("TREADLE_REQUIRE_ENGINES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def machine(tmp_path):
    """Return a function that makes a machine whose power can be cut, and starts it.

    ext4 commits its journal every 5 s by itself; here only a sync does, so that a test knows what is on the
    disk.
    """
    (home := tmp_path / "machine").mkdir()
    if reason := why_not(home):
        _skip(reason)
    disk = _mounted(home, 512 * 1024 * 1024, "-o", "commit=600")
    made = []

    def start(*arguments: object) -> Machine:
        made.append(Machine(disk, home, [str(each) for each in arguments]))
        return made[-1].boot()

    yield start
    for each in made:
        each.off()
    disk.remove()
