"""Cancelling in every state: no process of the program's tree survives."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.acceptance.server import eventually

STUBBORN = """
import os, signal, time
def run(data):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open(data['mark'], 'w').close()
            os.execvp('sleep', ['sleep', data['naptime']])
        os._exit(0)
    time.sleep(600)
"""


def sleepers(naptime: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if process.info["cmdline"] == ["sleep", naptime]]


def test_a_program_that_ignores_sigterm_and_its_daemon_are_gone_after_the_grace_period(
    serve, project, tmp_path
):
    server = serve(project(STUBBORN), "--grace", "0.3")
    naptime = f"600.{abs(hash(tmp_path)) % 10**8}"
    job = server.submit({"mark": str(tmp_path / "mark"), "naptime": naptime})
    eventually(Path(tmp_path / "mark").exists, "the daemon")
    eventually(lambda: sleepers(naptime), "the daemon's process")
    server.ask("PUT", f"/{job}/cancel")
    assert server.ended(job)["status"] == "CANCELLED"
    assert sleepers(naptime) == []
    assert server.ask("GET", f"/{job}/result").status == 404


def test_a_waiting_job_that_is_cancelled_never_starts(serve, project, tmp_path):
    program = "import time\ndef run(data):\n    open(data['mark'], 'w').close()\n    time.sleep(600)\n"
    server = serve(project(program, "concurrency = 1\n"), "--grace", "0.3")
    first = server.submit({"mark": str(tmp_path / "first")})
    second = server.submit({"mark": str(tmp_path / "second")})
    assert server.ask("PUT", f"/{second}/cancel").json["status"] == "CANCELLED"
    assert server.ask("PUT", f"/{first}/cancel").status == 200
    assert server.ended(first)["status"] == "CANCELLED"
    assert not (tmp_path / "second").exists()
    assert server.ask("GET", f"/{second}").json["startedAt"] is None


def test_an_ended_job_stays_as_it_is(serve, project):
    server = serve(project("def run():\n    return {'x': 1}\n"))
    job = server.submit()
    server.ended(job)
    assert server.ask("PUT", f"/{job}/cancel").json["status"] == "SUCCEEDED"
    assert server.result(job) == {"x": 1}
    assert list((server.spool / "cancel").iterdir()) == []


def test_an_unknown_job_can_t_be_cancelled(serve, project):
    server = serve(project("def run():\n    return 1\n"))
    assert server.ask("PUT", "/nothing/cancel").status == 404
