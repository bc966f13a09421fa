"""Server-sent events: a stream in place of polling, and reconnecting to it."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.server import TIMEOUT, eventually

STEPS = """import sys, time
from pathlib import Path
def run(data):
    for number in range(data['steps']):
        print('step', number)
        print(f'PlanQK:Job:InterimResult: {{"number": {number}}}')
        time.sleep(data.get('pause', 0))
    print('last words', file=sys.stderr)
    while not Path(data.get('until', '/')).exists():
        time.sleep(0.01)
    return 'done'
"""


@dataclass(frozen=True)
class Heard:
    """One event, as it was received."""

    id: str
    kind: str
    data: Any


def listen(server, job, last="", at_most=None):
    """Return the events of a job after `last`, up to its end or up to a number of events."""
    headers = {"Last-Event-ID": last} if last else {}
    request = urllib.request.Request(f"{server.url}/{job}/events", headers=headers)
    heard: list[Heard] = []
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status == 204:
            return heard
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif fields:
                heard.append(Heard(fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
            if len(heard) == at_most:
                break
    return heard


def of_kind(heard, kind):
    return [each.data for each in heard if each.kind == kind]


@pytest.fixture
def server(serve, project):
    return serve(project(STEPS))


def check(heard, steps):
    states = [each["status"] for each in of_kind(heard, "status")]
    assert states[-1] == "SUCCEEDED"
    assert states[:-1] in ([], ["RUNNING"], ["PENDING", "RUNNING"], ["PENDING"])
    assert heard[-1].kind == "status"
    assert of_kind(heard, "interim") == [{"number": number} for number in range(steps)]
    lines = [each["text"] for each in of_kind(heard, "log") if each["stream"] == "stdout"]
    assert [line for line in lines if line.startswith("step")] == [f"step {n}" for n in range(steps)]
    assert {"stream": "stderr", "text": "last words", "whole": True} in of_kind(heard, "log")
    assert len({each.id for each in heard}) == len(heard)


def test_everything_is_reported_and_then_the_stream_ends(server):
    check(listen(server, server.submit({"steps": 5, "pause": 0.05})), 5)


def test_a_job_that_has_ended_tells_the_same(server):
    job = server.submit({"steps": 3})
    server.ended(job)
    check(listen(server, job), 3)


def test_a_client_that_reconnects_gets_the_rest_and_nothing_twice(server):
    job = server.submit({"steps": 4, "pause": 0.02})
    server.ended(job)
    whole = listen(server, job)
    for cut in range(1, len(whole)):
        first = listen(server, job, at_most=cut)
        assert first + listen(server, job, last=first[-1].id) == whole
    assert server.ask("GET", f"/{job}/events", **{"Last-Event-ID": whole[-1].id}).status == 204


def test_it_is_reported_while_the_program_runs(server, tmp_path):
    job = server.submit({"steps": 1, "until": str(tmp_path / "go")})
    first = listen(server, job, at_most=2)
    assert eventually(lambda: "interim" in {each.kind for each in listen(server, job, at_most=3)}, "interim")
    assert server.ask("GET", f"/{job}").json["status"] == "RUNNING"
    (tmp_path / "go").touch()
    check(first + listen(server, job, last=first[-1].id), 1)


def test_a_job_that_waits_is_listened_to_from_its_start(serve, project, tmp_path):
    server = serve(project(STEPS), "--jobs", "1")
    holder = server.submit({"steps": 0, "until": str(tmp_path / "go")})
    job = server.submit({"steps": 2})
    (first,) = listen(server, job, at_most=1)
    assert first.data["status"] == "PENDING"
    (tmp_path / "go").touch()
    check([first, *listen(server, job, last=first.id)], 2)
    server.ended(holder)


def test_a_cancelled_job_says_so(serve, project, tmp_path):
    server = serve(project(STEPS), "--jobs", "1")
    holder = server.submit({"steps": 0, "until": str(tmp_path / "never")})
    job = server.submit({"steps": 0})
    server.ask("PUT", f"/{job}/cancel")
    assert [each.data["status"] for each in listen(server, job)] == ["CANCELLED"]
    server.ask("PUT", f"/{holder}/cancel")
    assert listen(server, holder)[-1].data["status"] == "CANCELLED"


def test_a_process_that_serves_the_api_alone_tells_the_same(serve, project):
    server = serve(service := project(STEPS))
    other = serve(service, "--api-only")
    job = server.submit({"steps": 3, "pause": 0.02})
    check(listen(other, job), 3)


def test_a_long_line_comes_in_pieces(serve, project):
    server = serve(project("def run(data):\n    print('ä' * 300_000 + 'end')\n"))
    job = server.submit({})
    pieces = of_kind(listen(server, job), "log")
    assert "".join(each["text"] for each in pieces) == "ä" * 300_000 + "end"
    assert [each["whole"] for each in pieces] == [False] * (len(pieces) - 1) + [True]


def test_two_listeners_get_the_same(server):
    job = server.submit({"steps": 5, "pause": 0.05})
    with ThreadPoolExecutor(8) as threads:
        for heard in threads.map(lambda _: listen(server, job), range(8)):
            check(heard, 5)


@pytest.mark.parametrize("last", ["x", "1-2-3", "1-0-0-0-NOTHING", "1-0-0-0-RUNNING\u00e9"])
def test_an_id_that_was_never_sent_is_refused(server, last):
    job = server.submit({"steps": 0})
    answer = server.ask("GET", f"/{job}/events", **{"Last-Event-ID": last})
    assert (answer.status, answer.json["path"]) == (400, "Last-Event-ID")


def test_events_of_an_unknown_job_are_a_404(server):
    assert server.ask("GET", "/nothing/events").status == 404
