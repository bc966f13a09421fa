"""A job that brings the host down, each time that it runs for some seconds, is not tried for ever."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.server import Server, eventually
from tests.crash.disk import Disk
from tests.processes import kill_supervisor
from treadle.dispatch.toolbox import Toolbox

PROGRAM = """
import time

def run(data):
    with open(data['runs'], 'a') as file:
        file.write('run\\n')
    time.sleep(600)
"""
ATTEMPTS = 2
PERIOD: float = Toolbox.__dataclass_fields__["sync_after"].default


def hold_back(disk: Disk) -> None:
    """Have ext4 bring nothing to the disk that nobody syncs; else it does so every 5 s."""
    subprocess.run(["mount", "-o", "remount,commit=600", disk.root], check=True)


def commits(disk: Disk) -> int:
    """Return how often the disk's journal has been committed."""
    device = subprocess.check_output(["findmnt", "-no", "SOURCE", disk.root], text=True).strip()
    journal = next(Path("/proc/fs/jbd2").glob(f"{Path(device).name}-*"))
    return int((journal / "info").read_text().split()[0])


@pytest.fixture
def server(disk: Disk, project) -> Iterator[Server]:
    hold_back(disk)
    server = Server(
        disk.root / "spool", [str(project(PROGRAM)), "--attempts", str(ATTEMPTS), "--disk-reserve", "0"]
    ).start()
    yield server
    server.stop()
    server.end_programs()


def cut_power(server: Server, disk: Disk) -> None:
    """Lose the engine, what it has started, and what is not on the disk."""
    server.kill()
    for folder in (server.spool / "run").iterdir():
        kill_supervisor(folder)
    disk.cut_power()
    hold_back(disk)


@pytest.mark.timeout(120)
def test_a_job_that_brings_the_host_down_is_tried_as_often_as_is_allowed(server, disk, tmp_path):
    runs = tmp_path / "runs"
    job = server.submit({"runs": str(runs)})
    for number in range(1, ATTEMPTS + 1):
        eventually(lambda number=number: runs.exists() and runs.read_text() == "run\n" * number, "a start")
        before = commits(disk)
        with suppress(AssertionError):  # where nothing is synced, the job begins once more, for ever
            eventually(lambda before=before: commits(disk) > before, "a sync", 2 * PERIOD)
        cut_power(server, disk)
        server.start()
    assert server.ended(job)["status"] == "FAILED"
    assert server.result(job)["code"] == "LOST"
    ends = [(each["number"], each["reason"]) for each in server.status(job)["attempts"]]
    assert ends == [(1, "lost"), (2, "lost")]
    assert runs.read_text() == "run\n" * ATTEMPTS
