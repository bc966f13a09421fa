"""Long polling: one request that waits for the job's end."""

from __future__ import annotations

import time

import pytest

NAP = "import time\ndef run(data):\n    time.sleep(data['seconds'])\n    return 'rested'\n"


@pytest.fixture
def server(serve, project):
    return serve(project(NAP))


@pytest.mark.parametrize(("query", "headers"), [("?wait=20", {}), ("", {"Prefer": "wait=20"})])
def test_the_answer_comes_when_the_job_has_ended(server, query, headers):
    job = server.submit({"seconds": 0.5})
    start = time.monotonic()
    answer = server.ask("GET", f"/{job}{query}", **headers)
    assert answer.json["status"] == "SUCCEEDED"
    assert time.monotonic() - start < 10
    assert answer.headers.get("Preference-Applied") == ("wait=20" if headers else None)


def test_after_the_time_the_answer_comes_anyway(server):
    job = server.submit({"seconds": 600})
    assert server.ask("GET", f"/{job}?wait=0.2").json["status"] in {"PENDING", "RUNNING"}
    server.ask("PUT", f"/{job}/cancel")


def test_a_result_may_be_waited_for(server):
    job = server.submit({"seconds": 0.3})
    assert server.ask("GET", f"/{job}/result?wait=20").json == "rested"


def test_without_a_wait_the_answer_comes_at_once(server):
    job = server.submit({"seconds": 600})
    start = time.monotonic()
    assert server.ask("GET", f"/{job}/result").status == 404
    assert time.monotonic() - start < 5
    server.ask("PUT", f"/{job}/cancel")
