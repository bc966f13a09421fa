"""A spool of the old format whose power is cut, whenever an engine of today has been started on it."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.acceptance.old_version import OldVersion
from tests.acceptance.server import Server
from tests.processes import kill_supervisor

JOBS = ("patient", "urgent", "ended-unseen", "never-begun", "half-claimed", "lost")


@pytest.fixture
def old(disk, tmp_path):
    """Return the old version's spool, on the disk whose power can be cut."""
    old = OldVersion(tmp_path)
    old.made_under_this_boot()
    place = disk.root / "spool"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(old.spool, place)
    disk.sync()
    yield old
    shutil.rmtree(place)


def cut_power(server, disk):
    server.kill()
    for folder in (server.spool / "run").iterdir():
        kill_supervisor(folder)
    disk.cut_power()


@pytest.mark.timeout(120)
def test_after_a_cut_the_format_is_raised_and_every_job_comes_to_its_end(disk, old):
    place = disk.root / "spool"
    spool_id = json.loads((place / "spool.json").read_bytes())["id"]
    services = ["--services", str(old.projects), "--disk-reserve", "0", "--grace", "0.3"]
    server = Server(place, services).start()
    try:
        cut_power(server, disk)
        assert json.loads((place / "spool.json").read_bytes()) == {"format": 2, "id": spool_id}
        server.start()
        for job in JOBS:
            server.dropped(job)
            assert server.status(job)["status"] == "SUCCEEDED"
    finally:
        server.stop()
        server.end_programs()
