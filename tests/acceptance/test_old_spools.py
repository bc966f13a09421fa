"""A spool of an earlier version lives on: what waits, what has ended, and what runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.acceptance.old_version import WAYS, OldVersion
from tests.acceptance.server import TREADLE, eventually

WEAVE, WARP = "/services/weave", "/services/warp"


@pytest.fixture
def old(tmp_path):
    old = OldVersion(tmp_path)
    yield old
    old.end_processes()


def attempts(server, job, *fields):
    return [tuple(each[field] for field in fields) for each in server.status(job)["attempts"]]


# ---------------------------------------------------------------------- what lies in the spool


def test_what_has_ended_answers_as_it_did(serve, old):
    server = serve("--services", old.projects)
    answers = {path: server.ask("GET", path) for path in old.answers}
    assert {path: [each.status, each.body.decode()] for path, each in answers.items()} == old.answers
    assert server.status(old.jobs["failed"])["labels"] == {"loom": "three"}
    assert attempts(server, "tried-twice", "number", "reason") == [(1, "lost"), (2, "ended")]


def test_the_order_of_what_waits_is_kept_and_so_are_its_labels(serve, old):
    server = serve("--services", old.projects, "--jobs", "1")
    assert server.result("patient", WEAVE) == {"woven": "later"}
    assert server.result("urgent", WEAVE) == {"woven": "sooner"}
    assert server.result(old.jobs["plain"], WEAVE) == {"woven": "plain"}
    waited = [server.status(job) for job in ("urgent", "patient", old.jobs["plain"])]
    assert [each["labels"] for each in waited] == [{"loom": "nine"}, {}, {"loom": "one"}]
    assert sorted(waited, key=lambda each: each["started"]) == waited


def test_a_timeout_that_was_asked_for_is_kept(serve, old):
    server = serve("--services", old.projects, "--grace", "0.3")
    assert server.result("hasty", WEAVE)["code"] == "TIMEOUT"


def test_a_cancel_that_was_asked_for_is_honoured(serve, old):
    server = serve("--services", old.projects)
    job = old.jobs["unwanted"]
    assert server.ended(job, WEAVE)["status"] == "CANCELLED"
    assert server.ask("GET", f"{WEAVE}/{job}").json["startedAt"] is None
    eventually(lambda: not list((old.spool / "cancel").iterdir()), "the request's end")


def test_a_file_that_was_dropped_is_taken(serve, old):
    server = serve("--services", old.projects)
    server.dropped("late")
    assert server.result("late", WEAVE) == {"woven": "late"}
    assert list((old.spool / "drop").iterdir()) == []


def test_what_was_refused_is_kept_with_its_reason(serve, old):
    serve("--services", old.projects).dropped("late")
    bad = old.spool / "bad"
    assert {path.name for path in bad.iterdir()} == {"misspelt.json", "misspelt.json.reason.json"}
    assert json.loads((bad / "misspelt.json.reason.json").read_bytes())["path"] == "$.prams"


@pytest.mark.parametrize(
    ("job", "result", "ending"),
    [
        ("ended-unseen", {"woven": "unseen"}, ("SUCCEEDED", 0, None)),
        ("raised-unseen", {"code": "ValueError", "detail": "nobody looked"}, ("FAILED", 1, None)),
        ("killed-unseen", {"code": "EXIT_137", "detail": "killed by SIGKILL"}, ("FAILED", None, 9)),
    ],
)
def test_an_attempt_that_ended_while_no_engine_ran_is_finished(serve, old, job, result, ending):
    old.made_under_this_boot()
    server = serve("--services", old.projects)
    assert server.result(job, WEAVE) == result
    assert server.status(job)["status"] == ending[0]
    assert attempts(server, job, "reason", "code", "signal") == [("ended", *ending[1:])]


def test_an_attempt_that_ended_unseen_under_another_boot_is_tried_again(serve, old):
    server = serve("--services", old.projects)
    assert server.result("ended-unseen", WEAVE) == {"woven": "unseen"}
    assert attempts(server, "ended-unseen", "number", "reason") == [(1, "lost"), (2, "ended")]
    assert "before its end was on the disk" in server.status("ended-unseen")["attempts"][0]["detail"]


def test_what_an_attempt_reported_while_no_engine_ran_is_there(serve, old):
    server = serve("--services", old.projects)
    server.ended("ended-unseen", WEAVE)
    assert server.ask("GET", f"{WEAVE}/ended-unseen/interim-results").json == [1]


def test_a_lost_attempt_is_tried_again_and_both_are_reported(serve, old):
    server = serve("--services", old.projects)
    assert server.result("lost", WEAVE) == {"woven": "found"}
    assert attempts(server, "lost", "number", "reason", "code") == [(1, "lost", None), (2, "ended", 0)]
    assert (old.spool / "done" / "lost" / "attempts" / "1" / "process.json").exists()


def test_an_attempt_that_never_began_begins(serve, old):
    server = serve("--services", old.projects)
    assert server.result("never-begun", WARP) == {"woven": "at last"}
    assert attempts(server, "never-begun", "number", "reason") == [(1, "ended")]


def test_a_claim_that_was_not_completed_is_made_again(serve, old):
    server = serve("--services", old.projects)
    assert server.result("half-claimed", WEAVE) == {"woven": "half"}


def test_in_the_end_nothing_is_owed(serve, old):
    serve("--services", old.projects, "--grace", "0.3").dropped("late")
    for place in ("queue", "run", "cancel", "drop"):
        eventually(lambda place=place: not list((old.spool / place).iterdir()), f"an empty {place}/")


# ---------------------------------------------------------------------- its format


def identity(old):
    return json.loads((old.spool / "spool.json").read_bytes())


def command(*arguments):
    return subprocess.run([TREADLE, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_engine_raises_the_format_and_the_spool_stays_the_same_one(serve, old):
    before = identity(old)
    serve("--services", old.projects)
    assert (before["format"], identity(old)) == (1, {"format": 2, "id": before["id"]})


def test_without_an_engine_it_is_read_as_it_is(serve, old):
    before = identity(old)
    gateway = serve("--services", old.projects, "--api-only")
    assert gateway.ask("GET", f"{WEAVE}/patient").json["status"] == "PENDING"
    assert "tried-twice" in command("list", "--spool", old.spool).stdout
    assert identity(old) == before
    engine = serve("--services", old.projects, "--jobs", "1")
    assert identity(old)["format"] == 2
    job = gateway.submit({"thread": "new"}, base=WEAVE)
    assert engine.result(job, WEAVE) == gateway.result(job, WEAVE) == {"woven": "new"}


def test_a_writer_of_version_1_is_understood_as_before(serve, old):
    """It writes what FORMAT.md of that version says: to drop/, and to tmp/ and queue/."""
    server = serve("--services", old.projects)
    fields = {"service": "weave", "data": {"thread": "mine"}, "priority": 2, "labels": {"a": "b"}}
    server.drop("dropped.json", json.dumps(fields | {"timeout": 60}).encode())
    draft = old.spool / "tmp" / f"{os.getpid()}-mine"
    draft.write_text(json.dumps(fields | {"created": "2026-11-23T12:00:00Z"}))
    (old.spool / "queue" / "linked.json").hardlink_to(draft)
    draft.unlink()
    for job in ("dropped", "linked"):
        server.dropped(job)
        assert server.result(job, WEAVE) == {"woven": "mine"}
        assert server.status(job)["labels"] == {"a": "b"}


def test_a_field_of_a_newer_version_is_ignored_in_a_job_that_is_queued_and_an_error_in_one_that_is_sent(
    serve, old
):
    fields = {"service": "weave", "data": {"thread": "mine"}, "owner": "ada"}
    queued = json.dumps(fields | {"created": "2026-11-23T12:00:00Z"})
    (old.spool / "queue" / "later.json").write_text(queued)
    server = serve("--services", old.projects)
    server.drop("typo.json", json.dumps(fields).encode())
    assert server.result("later", WEAVE) == {"woven": "mine"}
    assert (old.spool / "done" / "later" / "job.json").read_text() == queued
    reason = old.spool / "bad" / "typo.json.reason.json"
    eventually(reason.exists, "the refusal")
    assert json.loads(reason.read_bytes())["path"] == "$.owner"
    answer = server.ask("POST", WEAVE, b'{"owner": "ada"}')
    assert (answer.status, "unknown field" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize("arguments", [("serve",), ("serve", "--api-only"), ("list",), ("gc", "--days", "0")])
def test_a_spool_of_a_newer_version_is_left_alone_and_the_reason_is_given(old, arguments):
    newer = {**identity(old), "format": 3}
    (old.spool / "spool.json").write_text(json.dumps(newer))
    before = sorted(old.spool.rglob("*"))
    services = ("--services", old.projects, "--port", "0") if arguments[0] == "serve" else ()
    refused = command(*arguments, "--spool", old.spool, *services)
    assert refused.returncode != 0
    assert "format 3, made by a newer version of Treadle" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert sorted(old.spool.rglob("*")) == before
    assert identity(old) == newer


# ---------------------------------------------------------------------- what runs


PATIENT = """
import json, time
from pathlib import Path

def run(data):
    with open(data['runs'], 'a') as file:
        file.write('run\\n')
    print('PlanQK:Job:InterimResult: "begun"')
    while not Path(data['gate']).exists():
        time.sleep(0.01)
    print('PlanQK:Job:InterimResult: "going on"')
    return {'went': 'on'}
"""
STUBBORN = """
import signal, time
from pathlib import Path

def run(data):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(data['runs']).touch()
    time.sleep(600)
"""
FAILING = """
import time
from pathlib import Path

def run(data):
    while not Path(data['gate']).exists():
        time.sleep(0.01)
    raise ValueError('the gate is open')
"""
DYING = """
import os, signal, time
from pathlib import Path

def run(data):
    while not Path(data['gate']).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=WAYS)
def running(request, old, project, tmp_path):
    """Return a function that has the old version run a program, and gives the service's project."""

    def begin(program):
        path = project(program)
        old.begin(request.param, path, "live", {name: str(tmp_path / name) for name in ("gate", "runs")})
        return path

    return begin


def test_a_job_that_runs_goes_on_and_is_finished(serve, old, running, tmp_path):
    server = serve(running(PATIENT))
    assert server.ask("GET", "/live").json["status"] == "RUNNING"
    eventually(lambda: server.ask("GET", "/live/interim-results").json == ["begun"], "an interim result")
    (tmp_path / "gate").touch()
    assert server.result("live") == {"went": "on"}
    assert server.ask("GET", "/live/interim-results").json == ["begun", "going on"]
    assert attempts(server, "live", "number", "reason", "code") == [(1, "ended", 0)]
    assert (tmp_path / "runs").read_text() == "run\n"
    assert old.no_process_is_left()


def test_a_job_that_runs_is_cancelled_by_asking_its_program_to_end(serve, old, running, tmp_path):
    server = serve(running(PATIENT), "--grace", "600")
    eventually((tmp_path / "runs").exists, "the start of the program")
    server.ask("PUT", "/live/cancel")
    assert server.ended("live")["status"] == "CANCELLED"
    assert list((old.spool / "done" / "live").glob("exit-signal-15-*"))
    assert old.no_process_is_left()


def test_a_job_that_runs_and_will_not_end_is_killed_after_the_grace_period(serve, old, running, tmp_path):
    server = serve(running(STUBBORN), "--grace", "0.3")
    eventually((tmp_path / "runs").exists, "the start of the program")
    server.ask("PUT", "/live/cancel")
    assert server.ended("live")["status"] == "CANCELLED"
    assert old.no_process_is_left()


def test_a_job_whose_supervisor_is_killed_is_tried_again(serve, old, running, tmp_path):
    server = serve(running(PATIENT))
    eventually(lambda: server.ask("GET", "/live/interim-results").json, "the start of the program")
    os.kill(old.supervisor("live"), signal.SIGKILL)
    eventually(lambda: (tmp_path / "runs").read_text() == "run\n" * 2, "a second attempt")
    assert old.no_process_is_left()
    (tmp_path / "gate").touch()
    assert server.result("live") == {"went": "on"}
    assert attempts(server, "live", "number", "reason", "code") == [(1, "lost", None), (2, "ended", 0)]
    assert (old.spool / "done" / "live" / "attempts" / "1" / "process.json").exists()


def test_a_job_that_runs_and_fails_says_why(serve, running, tmp_path):
    server = serve(running(FAILING))
    assert server.ask("GET", "/live").json["status"] == "RUNNING"
    (tmp_path / "gate").touch()
    assert server.result("live") == {"code": "ValueError", "detail": "the gate is open"}
    assert server.ask("GET", "/live").json["status"] == "FAILED"
    assert attempts(server, "live", "number", "reason", "code") == [(1, "ended", 1)]


def test_a_job_that_runs_and_is_killed_by_a_signal_tells_which(serve, running, tmp_path):
    server = serve(running(DYING))
    assert server.ask("GET", "/live").json["status"] == "RUNNING"
    (tmp_path / "gate").touch()
    assert server.result("live") == {"code": "EXIT_137", "detail": "killed by SIGKILL"}
    assert server.ask("GET", "/live").json["status"] == "FAILED"
    assert attempts(server, "live", "number", "reason", "signal") == [(1, "ended", 9)]


def test_a_job_that_runs_outlives_two_engines(serve, running, tmp_path):
    path = running(PATIENT)
    first = serve(path)
    assert first.ask("GET", "/live").json["status"] == "RUNNING"
    first.kill()
    second = serve(path)
    (tmp_path / "gate").touch()
    assert second.result("live") == {"went": "on"}
    assert (tmp_path / "runs").read_text() == "run\n"
