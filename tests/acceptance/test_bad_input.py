"""Bad input causes no 500, no crash and no lost job; every refusal has a reason."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import urllib.parse
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.server import EXAMPLES, eventually
from tests.generated import COUNT, bodies

IDLE = "def run(data, params):\n    return 1\n"
WAITS = """
import os, time
def run(data):
    while not os.path.exists(data['gate']):
        time.sleep(0.01)
"""
HEADERS = st.sampled_from(
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "text/html; charset=klingon"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
    ]
)


@pytest.mark.timeout(60 + COUNT / 10)
def test_generated_bodies_are_accepted_or_refused_with_a_reason(serve, project):
    server = serve(project(IDLE, "concurrency = 1\n"), "--queue-limit", "1000000")
    address = urllib.parse.urlsplit(server.url)
    client = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    accepted: list[str] = []

    @settings(max_examples=COUNT, suppress_health_check=list(HealthCheck), database=None)
    @given(bodies, HEADERS)
    def ask(body: bytes, headers: dict[str, str]) -> None:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        fields = json.loads(answer.read())
        assert answer.status in {201, 400, 415}, (answer.status, fields)
        if answer.status == 201:
            accepted.append(fields["id"])
        else:
            assert fields["code"]
            assert fields["detail"]

    with closing(client) as connection:
        ask()
    assert accepted
    assert server.process.poll() is None
    for job in accepted:
        assert server.ask("GET", f"/{job}").status == 200
    assert server.ended(accepted[0])["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        (b"[]", "$", "object"),
        (b"{", "$", "valid JSON"),
        (b'{"data": 1}', "$.data", "object"),
        (b'{"params": "x"}', "$.params", "object"),
        (b'{"data": {}, "parms": {}}', "$.parms", "did you mean 'params'"),
        (b'{"data": {"values": ["x"]}}', "$.data.values[0]", "number"),
        (b'{"data": {"values": [NaN]}}', "$", "valid JSON"),
        (b'{"priority": 1001}', "$.priority", "1000"),
        (b'{"dataRef": {"dataPoolId": "p", "fileId": "f"}}', "$.dataRef", "no data pools"),
        (b'{"dataRef": {"dataPoolId": "p"}}', "$.dataRef", "fileId"),
        (b"\xff", "$", "UTF-8"),
    ],
)
def test_a_fault_is_reported_with_its_json_path(served_sum, body, path, words):
    answer = served_sum.ask("POST", "/", body)
    assert answer.status == 400
    assert answer.json["path"] == path
    assert words in answer.json["detail"]


@pytest.fixture(scope="module")
def served_sum(module_server):
    return module_server(EXAMPLES / "sum", "--max-body", "1000")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/nothing/result", 404),
        ("GET", "/nothing/interim-results", 404),
        ("PUT", "/nothing/cancel", 404),
        ("GET", "/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/..%2fspool.json/result", 404),
        ("GET", "/%00", 404),
        ("GET", "/%ff", 404),
        ("GET", "/a/b/c/d", 404),
        ("DELETE", "/", 405),
        ("PUT", "/", 405),
        ("POST", "/x/cancel", 405),
        ("GET", "/x/cancel", 405),
        ("GET", "/x?wait=soon", 400),
        ("GET", "/x?wait=-1", 400),
        ("GET", "/x?wait=nan", 400),
        ("GET", "/services/other/", 404),
    ],
)
def test_an_address_that_leads_nowhere_is_reported(served_sum, method, path, status):
    answer = served_sum.ask(method, path, b"" if method in {"PUT", "POST"} else None)
    assert answer.status == status
    assert {"code", "detail"} <= set(answer.json)


def test_a_body_that_is_too_large_is_reported(served_sum):
    answer = served_sum.ask("POST", "/", b'{"data": {"values": [' + b"1," * 1000 + b"1]}}")
    assert (answer.status, "detail" in answer.json) == (413, True)


def test_a_body_packed_by_gzip_is_taken(served_sum):
    body = gzip.compress(b'{"data": {"values": [20, 22]}}')
    answer = served_sum.ask("POST", "/", body, **{"Content-Encoding": "gzip"})
    assert served_sum.result(answer.json["id"])["result"] == {"sum": 42}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(b"{}")[:-4], 400),
        (gzip.compress(b"{}") + b"x", 400),
        (b"{}", 400),
        (b"", 400),
        (gzip.compress(b" " * 10_000), 413),
    ],
)
def test_a_body_that_is_packed_badly_is_refused(served_sum, body, status):
    assert served_sum.ask("POST", "/", body, **{"Content-Encoding": "gzip"}).status == status


def test_a_client_that_disconnects_affects_no_other(served_sum):
    address = urllib.parse.urlsplit(served_sum.url)
    for part in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", b"\x00\xff\r\n\r\n", b"GET"):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(part)
    assert served_sum.ask("GET", "/").status == 200


def test_a_full_queue_is_reported_and_room_is_taken_again(serve, project, tmp_path):
    server = serve(project(WAITS), "--queue-limit", "2", "--jobs", "1")
    gate = {"gate": str(tmp_path / "gate")}
    jobs = [server.submit(gate) for _ in range(2)]
    body = json.dumps({"data": gate}).encode()
    answer = eventually(
        lambda: found if (found := server.ask("POST", "/", body)).status == 429 else None, "a full queue"
    )
    assert answer.headers["Retry-After"]
    (tmp_path / "gate").touch()
    for job in jobs:
        server.ended(job)
    assert server.submit(gate)


def test_a_disk_below_its_reserve_is_reported(serve, project):
    server = serve(project(IDLE), "--disk-reserve", str(2**60))
    answer = server.ask("POST", "/", b"{}")
    assert (answer.status, answer.json["code"]) == (507, "DISK_FULL")
    assert list((server.spool / "queue").iterdir()) == []
