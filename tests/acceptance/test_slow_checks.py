"""Input that takes long to check against its service's schema: it is refused, and delays nothing else."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.acceptance.attacks import probed
from tests.acceptance.server import Answer
from treadle.testing import eventually

PROGRAM = "def run(data):\n    return len(data)\n"


def with_schema(project: Path, schema: object) -> Path:
    document = {"openapi": "3.1.0", "components": {"schemas": {"inputData": schema}}}
    (project / "openapi-spec.yml").write_text(json.dumps(document))
    return project


@pytest.fixture
def projects(project):
    """Two services: the input of one can take for ever to check, that of the other needs a process."""
    slow = with_schema(project(PROGRAM, name="slow"), {"properties": {"x": {"pattern": "^(a+)+$"}}})
    other = with_schema(project(PROGRAM, name="other"), {"properties": {"x": {"pattern": "^a*$"}}})
    return slow, other


SLOW = json.dumps({"data": {"x": "a" * 49 + "!"}}).encode()


def test_a_slow_check_is_refused_and_neither_health_nor_another_service_waits(serve, projects):
    server = serve(*projects)
    server.submit({"x": "a"}, base="/services/other")
    answers: list[Answer] = []

    def attack() -> None:
        answers.append(server.ask("POST", "/services/slow", SLOW))

    threads = [threading.Thread(target=attack) for _ in range(6)]
    others: list[float] = []
    with probed(server) as probes:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            begun = time.monotonic()
            server.submit({"x": "aaa"}, base="/services/other")
            others.append(time.monotonic() - begun)
    assert {(answer.status, answer.json["path"]) for answer in answers} == {(400, "$.data")}
    assert "`validation_seconds`" in answers[0].json["detail"]
    assert probes.slowest() < 0.3
    assert sorted(others)[len(others) // 2] < 0.5
    assert max(others) < 5


def test_the_time_that_a_check_may_take_is_a_setting_of_cpu_time(serve, projects):
    server = serve(*projects, "--validation-seconds", "0.2")
    begun = time.monotonic()
    assert server.ask("POST", "/services/slow", SLOW).status == 400
    assert time.monotonic() - begun < 5


def test_a_dropped_file_that_takes_too_long_to_check_is_refused(serve, projects):
    server = serve(*projects, "--validation-seconds", "0.2")
    server.drop("slow.json", b'{"service": "slow",' + SLOW[1:])
    reason = server.spool / "bad" / "slow.json.reason.json"
    eventually(reason.exists, "the reason")
    assert json.loads(reason.read_bytes())["path"] == "$.data"


def test_an_invalid_schema_that_another_one_refers_to_is_told_at_the_start(serve, project):
    path = project(PROGRAM)
    document = {
        "openapi": "3.1.0",
        "components": {
            "schemas": {
                "inputData": {"properties": {"x": {"$ref": "#/components/schemas/Far"}}},
                "Far": {"type": "objekt"},
            }
        },
    }
    (path / "openapi-spec.yml").write_text(json.dumps(document))
    with pytest.raises(AssertionError, match=r"components\.schemas\.Far .*is not a valid schema"):
        serve(path)
