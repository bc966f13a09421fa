"""Jobs by dropping a file: no client, no HTTP."""

from __future__ import annotations

import json

from tests.acceptance.server import EXAMPLES, eventually

JOB = {"service": "sum", "data": {"values": [20, 22]}}


def refusal(server, name):
    reason = server.spool / "bad" / f"{name}.reason.json"
    return json.loads(
        eventually(lambda: reason.read_bytes() if reason.exists() else None, f"the refusal of {name}")
    )


def test_a_dropped_file_becomes_a_job_of_its_name(serve):
    server = serve(EXAMPLES / "sum")
    server.drop("mine.json", json.dumps(JOB).encode())
    done = server.dropped("mine")
    assert json.loads((done / "result.json").read_bytes())["result"] == {"sum": 42}
    assert json.loads((done / "status.json").read_bytes())["status"] == "SUCCEEDED"
    assert not (server.spool / "drop" / "mine.json").exists()
    assert server.ask("GET", "/mine").json["status"] == "SUCCEEDED"


def test_a_file_that_was_dropped_before_the_start_is_taken(serve):
    server = serve(EXAMPLES / "sum")
    server.stop()
    server.drop("early.json", json.dumps(JOB).encode())
    serve(EXAMPLES / "sum")
    server.dropped("early")


def test_a_name_already_used_is_refused_with_the_reason(serve):
    server = serve(EXAMPLES / "sum")
    server.drop("twice.json", json.dumps(JOB).encode())
    before = (server.dropped("twice") / "result.json").read_bytes()
    server.drop("twice.json", json.dumps(JOB).encode())
    assert "exists already" in refusal(server, "twice.json")["detail"]
    assert (server.spool / "done" / "twice" / "result.json").read_bytes() == before
    kept = server.spool / "bad" / "twice.json"
    assert json.loads(eventually(lambda: kept.exists() and kept.read_bytes(), "the refused file")) == JOB


def test_a_file_that_is_no_job_is_refused_with_the_place_of_the_fault(serve):
    server = serve(EXAMPLES / "sum")
    server.drop("typo.json", json.dumps({"service": "sum", "prams": {}}).encode())
    reason = refusal(server, "typo.json")
    assert reason["path"] == "$.prams"
    assert "params" in reason["detail"]


def test_a_job_for_an_unknown_service_is_refused_with_the_known_ones(serve):
    server = serve(EXAMPLES / "sum")
    server.drop("lost.json", json.dumps({"service": "sun"}).encode())
    assert "'sum'" in refusal(server, "lost.json")["detail"]


def test_a_file_is_left_alone_while_it_is_written(serve):
    server = serve(EXAMPLES / "sum")
    path = server.spool / "drop" / "slow.json"
    text = json.dumps(JOB)
    with path.open("w") as file:
        file.write(text[:10])
        file.flush()
        server.drop("other.json", json.dumps(JOB).encode())
        server.dropped("other")
        assert path.exists()
        file.write(text[10:])
    server.dropped("slow")
