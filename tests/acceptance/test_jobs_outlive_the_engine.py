"""Jobs go on when the engine is killed, and the next engine finishes them."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.acceptance.server import eventually

WAITS_FOR_A_FILE = """
import os, time
def run(data):
    print('PlanQK:Job:InterimResult:', os.getpid())
    with open(data['runs'], 'a') as file:
        file.write('run\\n')
    while not os.path.exists(data['gate']):
        time.sleep(0.01)
    return {'went': 'on'}
"""


def test_a_running_job_survives_kill_9_and_is_finished_by_the_next_engine(serve, project, tmp_path):
    path = project(WAITS_FOR_A_FILE)
    first = serve(path)
    data = {"gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")}
    job = first.submit(data)
    eventually(lambda: first.ask("GET", f"/{job}/interim-results").json or None, "the start of the program")
    first.kill()

    second = serve(path)
    assert second.ask("GET", f"/{job}").json["status"] == "RUNNING"
    (tmp_path / "gate").touch()
    assert second.result(job) == {"went": "on"}
    assert (tmp_path / "runs").read_text() == "run\n"
    assert len(second.ask("GET", f"/{job}/interim-results").json) == 1


def test_a_job_that_ended_while_no_engine_ran_is_finished_by_the_next(serve, project, tmp_path):
    path = project(WAITS_FOR_A_FILE)
    first = serve(path)
    data = {"gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")}
    job = first.submit(data)
    eventually((tmp_path / "runs").exists, "the start of the program")
    first.kill()
    (tmp_path / "gate").touch()
    eventually(lambda: list((first.spool / "run" / job).glob("exit-*")), "the end of the program")
    assert serve(path).result(job) == {"went": "on"}


def test_a_waiting_job_is_still_owed_after_kill_9(serve, project, tmp_path):
    path = project(WAITS_FOR_A_FILE, "concurrency = 1\n")
    first = serve(path)
    data = {"gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")}
    jobs = [first.submit(data) for _ in range(3)]
    first.kill()
    (tmp_path / "gate").touch()
    second = serve(path)
    assert [second.result(job) for job in jobs] == [{"went": "on"}] * 3
    assert (tmp_path / "runs").read_text() == "run\n" * 3


def test_a_cancel_that_was_asked_for_while_no_engine_ran_is_honoured(serve, project, tmp_path):
    path = project(WAITS_FOR_A_FILE)
    first = serve(path)
    job = first.submit({"gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")})
    eventually((tmp_path / "runs").exists, "the start of the program")
    first.kill()
    (first.spool / "cancel" / job).touch()
    second = serve(path)
    assert second.ended(job)["status"] == "CANCELLED"


def test_a_lost_attempt_is_tried_again_and_both_are_reported(serve, project, tmp_path):
    path = project(WAITS_FOR_A_FILE)
    server = serve(path)
    job = server.submit({"gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")})
    eventually((tmp_path / "runs").exists, "the start of the program")
    supervisor = json.loads((server.spool / "run" / job / "process.json").read_bytes())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: (tmp_path / "runs").read_text() == "run\n" * 2, "a second attempt")
    (tmp_path / "gate").touch()
    assert server.result(job) == {"went": "on"}
    assert [attempt["reason"] for attempt in server.status(job)["attempts"]] == ["lost", "ended"]


def test_a_second_engine_on_the_same_spool_says_who_holds_it(serve, project):
    server = serve(project("def run():\n    return 1\n"))
    with pytest.raises(AssertionError, match=f"process {server.process.pid}"):
        serve(*server.arguments)
