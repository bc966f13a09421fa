"""Health tells the truth: not ready, with the reason, whenever a job would be refused for want of room."""

from __future__ import annotations

import subprocess

import pytest

from tests.acceptance.server import Server, eventually

QUICK = "def run():\n    return 1\n"
WAITS = """
import os, time
def run(data):
    while not os.path.exists(data['gate']):
        time.sleep(0.01)
"""


def problem(server: Server) -> str | None:
    """Return why the server is not ready; None if it is."""
    answer = server.ask("GET", "/-/health")
    assert (answer.status == 200) == answer.json["ready"]
    return None if answer.json["ready"] else "; ".join(answer.json["problems"])


def test_a_disk_below_its_reserve(serve, project):
    server = serve(project(QUICK), "--disk-reserve", str(2**60))
    assert server.ask("POST", "/", b"{}").status == 507
    assert "kept back" in problem(server)


def test_a_full_queue_until_there_is_room_again(serve, project, tmp_path):
    server = serve(project(WAITS), "--queue-limit", "2", "--jobs", "1")
    assert problem(server) is None
    gate = {"gate": str(tmp_path / "gate")}
    jobs = [server.submit(gate) for _ in range(2)]
    assert server.ask("POST", "/", b"{}").status == 429
    assert "the limit is 2" in problem(server)
    (tmp_path / "gate").touch()
    for job in jobs:
        server.ended(job)
    eventually(lambda: problem(server) is None, "room")


def test_a_disk_that_is_read_only(serve, project):
    server = serve(project(QUICK))
    spool = str(server.spool)
    if subprocess.run(["mount", "--bind", spool, spool], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", spool], check=True)
        answer = server.ask("POST", "/", b"{}")
        assert (answer.status, answer.json["code"]) == (503, "UNAVAILABLE")
        assert "Read-only file system" in problem(server)
    finally:
        subprocess.run(["umount", "--lazy", spool], check=True)
    eventually(lambda: problem(server) is None, "a disk that can be written")
    assert server.result(server.submit()) == 1


def test_a_job_that_could_not_be_written_until_another_one_can(serve, project):
    server = serve(project(QUICK))
    queue = server.spool / "queue"
    queue.rename(server.spool / "elsewhere")
    assert server.ask("POST", "/", b"{}").status == 503
    assert "could not be written" in problem(server)
    (server.spool / "elsewhere").rename(queue)
    assert server.result(server.submit()) == 1
    eventually(lambda: problem(server) is None, "a ready engine")


def test_an_api_process_says_the_same(serve, project):
    path = project(QUICK)
    serve(path)
    assert problem(serve(path, "--api-only")) is None
    assert "kept back" in problem(serve(path, "--api-only", "--disk-reserve", str(2**60)))
