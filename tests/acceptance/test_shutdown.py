"""Stopping an engine: nothing new comes in, and jobs go on, or are waited for, or are cancelled."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.server import TIMEOUT, eventually

WAITS = """
import os, time
def run(data):
    open(data['mark'], 'w').close()
    while not os.path.exists(data['gate']):
        time.sleep(0.01)
    return 'done'
"""


@pytest.fixture
def running(serve, project, tmp_path):
    """Start a server with one job that runs until the test opens its gate."""
    path = project(WAITS)

    def start(*arguments: str):
        server = serve(path, *arguments)
        job = server.submit({"gate": str(tmp_path / "gate"), "mark": str(tmp_path / "mark")})
        eventually((tmp_path / "mark").exists, "the start of the job")
        return server, job

    return start


def test_sigterm_leaves_jobs_running_and_takes_less_than_two_seconds(running, serve, tmp_path):
    server, job = running()
    start = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - start < 2
    (tmp_path / "gate").touch()
    assert serve(*server.arguments).result(job) == "done"


def test_a_long_poll_gets_its_response_when_the_engine_stops(running, tmp_path):
    server, job = running()
    address = urlsplit(server.url)
    with closing(HTTPConnection(address.hostname, address.port, timeout=TIMEOUT)) as connection:
        connection.request("GET", f"/{job}?wait=60")
        assert server.ask("GET", "/-/health").status == 200  # a later request: the long poll has arrived
        server.stop()
        assert json.loads(connection.getresponse().read())["status"] == "RUNNING"
    (tmp_path / "gate").touch()


def test_with_drain_running_jobs_are_waited_for_and_new_ones_refused(running, tmp_path):
    server, job = running("--drain")
    os.kill(server.process.pid, signal.SIGTERM)
    answer = eventually(
        lambda: found if (found := server.ask("POST", "/", b"{}")).status == 503 else None, "a refusal"
    )
    assert answer.json["code"] == "SHUTTING_DOWN"
    assert answer.headers["Retry-After"]
    assert server.ask("GET", f"/{job}").json["status"] == "RUNNING"
    (tmp_path / "gate").touch()
    assert server.reap() == 0
    assert (server.spool / "done" / job).exists()


def test_a_second_sigterm_changes_nothing_for_the_worse(running, serve, tmp_path):
    server, job = running("--drain")
    for _ in range(3):
        os.kill(server.process.pid, signal.SIGTERM)
        eventually(lambda: not is_pending(signal.SIGTERM, server.process.pid), "the delivery of the signal")
    assert server.reap() == 0
    (tmp_path / "gate").touch()
    assert serve(*server.arguments[:1]).result(job) == "done"


def is_pending(number: signal.Signals, pid: int) -> bool:
    """Return whether a signal of the process has not been delivered; what has ended has none."""
    pending = re.search(r"^ShdPnd:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(pending and int(pending[1], 16) & 1 << number - 1)


def test_ctrl_c_says_which_jobs_go_on(running, serve, tmp_path):
    server, job = running()
    os.kill(server.process.pid, signal.SIGINT)
    said = server.process.stdout.read()
    assert server.reap() == 0
    assert f"go on without the engine: {job}" in said
    (tmp_path / "gate").touch()
    assert serve(*server.arguments).result(job) == "done"


def test_a_second_ctrl_c_cancels_them(running, serve):
    server, job = running("--grace", "0.2")
    os.kill(server.process.pid, signal.SIGINT)
    assert any("Ctrl-C again" in line for line in server.process.stdout)
    os.kill(server.process.pid, signal.SIGINT)
    assert server.reap() == 0
    assert serve(*server.arguments).ask("GET", f"/{job}").json["status"] == "CANCELLED"


def test_systemd_is_notified_when_the_engine_is_ready_and_when_it_stops(
    serve, project, tmp_path, monkeypatch
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        server = serve(project(WAITS))
        assert supervisor.recv(100) == b"READY=1"
        server.stop()
        assert supervisor.recv(100) == b"STOPPING=1"
