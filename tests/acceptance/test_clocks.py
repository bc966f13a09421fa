"""A clock that is set ahead or back, while a job runs and no engine does, changes no timeout."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.server import Server, eventually

SETTINGS = "timeout = {timeout}\n"
WAITS = """
import os, time
def run(data):
    open(data['running'], 'w').close()
    while not os.path.exists(data['gate']):
        time.sleep(0.01)
    return 'through'
"""


def begin(server: Server, folder: Path) -> str:
    """Start a job that runs until there is a file `gate`, and return its id."""
    job = server.submit({"gate": str(folder / "gate"), "running": str(folder / "running")})
    eventually((folder / "running").exists, "the start of the program")
    return job


def faked(spool: Path, project: Path, offset: str) -> Server:
    """Start a server whose time of day is another one."""
    if shutil.which("faketime") is None:
        pytest.skip("there is no faketime on this host")
    # faketime waits for its command in a process of its own; the command is to end with it.
    around = ["faketime", "--exclude-monotonic", "-f", offset, "setpriv", "--pdeathsig", "KILL"]
    return Server(spool, [str(project)], around=around).start()


def shift(attempt: Path, hours: float, **changes: object) -> None:
    """Change when an attempt began by the time of day, as if the clock had been set meanwhile."""
    live = json.loads(attempt.read_bytes())
    moment = datetime.now(UTC) + timedelta(hours=hours)
    live["attempt"]["started"] = moment.isoformat().replace("+00:00", "Z")
    attempt.write_text(json.dumps({name: value for name, value in live.items() if name not in changes}))


@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_a_job_goes_on_when_the_clock_was_set_between_two_engines(serve, project, tmp_path, offset):
    path = project(WAITS, SETTINGS.format(timeout=600))
    first = serve(path)
    job = begin(first, tmp_path)
    first.kill()
    second = faked(first.spool, path, offset)
    try:
        assert second.ask("GET", f"/{job}").json["status"] == "RUNNING"
        (tmp_path / "gate").touch()
        assert second.result(job) == "through"
    finally:
        second.stop()


@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_a_job_ends_at_its_timeout_when_the_clock_was_set_between_two_engines(
    serve, project, tmp_path, offset
):
    path = project(WAITS, SETTINGS.format(timeout=4))
    begun = time.monotonic()
    first = serve(path)
    job = begin(first, tmp_path)
    first.kill()
    second = faked(first.spool, path, offset)
    try:
        assert second.ended(job)["status"] == "FAILED"
        assert time.monotonic() - begun > 4
        assert second.status(job)["attempts"][0]["reason"] == "timed-out"
    finally:
        second.stop()


@pytest.mark.parametrize("hours", [2, -2])
def test_the_time_of_day_in_a_record_of_this_boot_does_not_count(serve, project, tmp_path, hours):
    """As the two above, on a host without faketime."""
    path = project(WAITS, SETTINGS.format(timeout=6))
    begun = time.monotonic()
    first = serve(path)
    job = begin(first, tmp_path)
    first.kill()
    shift(first.spool / "run" / job / "attempt.json", hours)
    second = serve(path)
    assert second.ended(job)["status"] == "FAILED"
    assert time.monotonic() - begun > 6


def test_the_attempt_of_an_earlier_version_counts_by_the_time_of_day_and_has_an_end(serve, project, tmp_path):
    path = project(WAITS, SETTINGS.format(timeout=3))
    first = serve(path)
    job = begin(first, tmp_path)
    first.kill()
    shift(first.spool / "run" / job / "attempt.json", 2, boot=None, clock=None)
    assert serve(path).ended(job)["status"] == "FAILED"
