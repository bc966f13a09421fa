"""One bad project harms itself alone: the others run, and it comes in when it is mended."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.server import TIMEOUT, TREADLE, Server
from treadle.testing import eventually

ANSWERS = "def run(data, params):\n    return {'answer': data['value']}\n"
SLOW = """
import time

def run(data, params):
    print("PlanQK:Job:InterimResult: 1", flush=True)
    time.sleep(data["value"])
    return "old"
"""
PICKY = """
from treadle import Runtime, Unavailable, hookimpl

class Picky(Runtime):
    name = "picky"

    async def start(self, attempt, command):
        raise Unavailable("NO_MOON", "the moon is missing")

    async def missing(self, service):
        return "the moon is missing"

    async def wait(self, attempt):
        raise AssertionError

    async def stop(self, attempt, grace):
        pass

@hookimpl
def register_runtimes(settings):
    return [Picky()]
"""
SOON = 2.0
"""Seconds in which a project that was mended is served."""
GOOD, BAD = 15, 5


@pytest.fixture
def projects(project, tmp_path):
    """Write twenty projects, five of them broken in different ways; return their folder."""
    for number in range(GOOD):
        project(ANSWERS, name=f"good{number}")
    (project(ANSWERS, name="comma") / "planqk.json").write_text('{"name": "comma",}')
    dangling = project(ANSWERS, name="dangling") / ".venv" / "bin"
    dangling.mkdir(parents=True)
    (dangling / "python").symlink_to(tmp_path / "upgraded" / "python3.9")
    project(ANSWERS, 'program = "container"', name="image")
    (project(ANSWERS, name="schema") / "openapi-spec.yml").write_text("components: [")
    double = project(ANSWERS, name="zdouble") / "planqk.json"
    double.write_text('{"name": "good0"}')
    return tmp_path / "projects"


def mend(projects: Path) -> dict[str, object]:
    """Return what mends each broken project."""
    python = projects / "dangling" / ".venv" / "bin" / "python"
    return {
        "comma": lambda: (projects / "comma" / "planqk.json").write_text('{"name": "comma"}'),
        "dangling": lambda: (python.readlink().parent.mkdir(), python.readlink().symlink_to(sys.executable)),
        "image": (projects / "image" / "treadle.toml").unlink,
        "schema": (projects / "schema" / "openapi-spec.yml").unlink,
        "zdouble": lambda: (projects / "zdouble" / "planqk.json").write_text('{"name": "zdouble"}'),
    }


def queue(server: Server, service: str) -> str:
    """Put a job into queue/, as a program with write access does; return its id."""
    name = f"{service}-waits"
    draft = server.spool / "tmp" / f"{name}.draft"
    job = {"service": service, "created": "2026-01-01T00:00:00Z", "data": {"value": service}}
    draft.write_text(json.dumps(job))
    (server.spool / "queue" / f"{name}.json").hardlink_to(draft)
    return name


def test_of_twenty_projects_five_are_broken_and_each_comes_in_when_it_is_mended(serve, projects):
    server = serve("--services", projects)
    overview = server.ask("GET", "/").json
    assert sorted(overview["services"]) == sorted(f"good{number}" for number in range(GOOD))
    assert len(overview["broken"]) == BAD
    for number in range(GOOD):
        base = f"/services/good{number}"
        assert server.result(server.submit({"value": number}, base=base), base) == {"answer": number}
    health = server.ask("GET", "/-/health")
    assert (health.status, len(health.json["notes"])) == (200, BAD)
    assert b'treadle_services{state="broken"} 5.0' in server.ask("GET", "/-/metrics").body
    waiting = {name: queue(server, name) for name in ("comma", "dangling", "image", "schema")}
    for name, heal in mend(projects).items():
        base = f"/services/{name}"
        if name in waiting:
            answer = server.ask("POST", base, b'{"data": {"value": 1}}')
            assert (answer.status, answer.json["code"]) == (503, "SERVICE_BROKEN")
            assert str(projects / name) in answer.json["detail"]
            assert server.ask("GET", f"{base}/{waiting[name]}").json["status"] == "PENDING"
            assert "is broken" in server.ask("GET", f"{base}/{waiting[name]}").json["detail"]
        heal()
        mended = time.monotonic()
        eventually(lambda base=base: server.ask("GET", base).status == 200, f"service {name}")
        assert time.monotonic() - mended < SOON
        if name in waiting:
            assert server.result(waiting[name], base) == {"answer": name}
        assert server.result(server.submit({"value": 2}, base=base), base) == {"answer": 2}
    assert server.ask("GET", "/-/health").json["notes"] == []


def test_the_jobs_of_the_others_see_nothing_of_it(serve, project, tmp_path):
    project(ANSWERS, name="good")
    bad = project(ANSWERS, name="bad") / "planqk.json"
    server = serve("--services", tmp_path / "projects")
    whole, end = bad.read_text(), time.monotonic() + 4
    longest = 0.0
    while (now := time.monotonic()) < end:
        bad.write_text(whole[:10] if int(now * 2) % 2 else whole)
        assert server.result(server.submit({"value": 1}, base="/services/good"), "/services/good")
        longest = max(longest, time.monotonic() - now)
    assert longest < 1.0
    bad.write_text(whole)
    eventually(lambda: server.ask("GET", "/services/bad").status == 200, "the service that was mended")


def test_a_service_that_breaks_ends_its_running_job_and_starts_no_other(serve, project, tmp_path):
    project(ANSWERS, name="good")
    folder = project(SLOW, name="breaks")
    server = serve("--services", tmp_path / "projects")
    base = "/services/breaks"
    running = server.submit({"value": 4}, base=base)
    eventually(lambda: server.ask("GET", f"{base}/{running}/interim-results").json, "the job's start")
    (folder / "treadle.toml").write_text("timeout = never")
    eventually(lambda: server.ask("GET", base).status == 503, "that it is broken")
    assert "treadle.toml" in server.ask("GET", base).json["detail"]
    assert server.ask("GET", f"{base}/{running}").json["status"] == "RUNNING"
    assert server.result(running, base) == "old"


@pytest.mark.parametrize("lacks", ['python = "3.99"', ".venv"])
def test_a_service_without_the_environment_that_it_asks_for_is_broken_and_stays_so(
    serve, project, tmp_path, lacks
):
    project(ANSWERS, name="good")
    folder = project(ANSWERS, lacks if "=" in lacks else "", name="lacks")
    if lacks == ".venv":
        (folder / ".venv").symlink_to(tmp_path / "removed")
    server = serve("--services", tmp_path / "projects")
    waits = queue(server, "lacks")
    for _ in range(15):  # longer than two checks
        assert server.ask("GET", "/services/lacks").status == 503
        assert server.ask("GET", f"/services/lacks/{waits}").json["status"] == "PENDING"
        time.sleep(0.2)
    assert "treadle build" in server.ask("GET", "/services/lacks").json["detail"]
    assert server.log.read_text().count("is broken") == 1


def test_a_dropped_file_of_a_broken_service_waits_for_it(serve, project, tmp_path):
    project(ANSWERS, name="good")
    planqk = project(ANSWERS, name="bad") / "planqk.json"
    whole = planqk.read_text()
    planqk.write_text("{")
    server = serve("--services", tmp_path / "projects")
    server.drop("mine.json", b'{"service": "bad", "data": {"value": 7}}')
    notes = eventually(
        lambda: [each for each in server.ask("GET", "/-/health").json["notes"] if "mine.json" in each],
        "that the health tells of the file",
    )
    assert "is broken" in notes[0]
    planqk.write_text(whole)
    assert json.loads((server.dropped("mine") / "result.json").read_bytes()) == {"answer": 7}


def test_projects_are_added_changed_and_removed_while_others_run(serve, project, tmp_path):
    project(ANSWERS, name="good")
    server = serve("--services", tmp_path / "projects")
    folder = project(SLOW, 'environment = {A = "1"}', name="comes")
    base = "/services/comes"
    eventually(lambda: server.ask("GET", base).status == 200, "the new service")
    running = server.submit({"value": 3}, base=base)
    eventually(lambda: server.ask("GET", f"{base}/{running}/interim-results").json, "the job's start")
    shutil.rmtree(folder)
    eventually(lambda: server.ask("GET", base).status == 404, "that it is removed")
    waits = queue(server, "comes")
    detail = eventually(lambda: server.ask("GET", f"{base}/{waits}").json.get("detail"), "the queued job")
    assert "not served" in detail
    assert server.result(running, base) == "old"
    project(ANSWERS, name="comes")
    assert server.result(waits, base) == {"answer": "comes"}


def test_the_root_does_not_move_to_another_service_when_one_breaks(serve, project, tmp_path):
    planqk = project(ANSWERS, name="bad") / "planqk.json"
    project(ANSWERS, name="good")
    planqk.write_text("{")
    server = serve("--services", tmp_path / "projects")
    assert server.ask("POST", "/", b"{}").status == 404
    assert server.ask("GET", "/").json["services"] == {"good": "/services/good"}
    assert server.ask("GET", "/services/").json == server.ask("GET", "/").json


def test_the_only_project_is_served_at_the_root_again_when_it_is_mended(serve, project):
    folder = project(ANSWERS)
    server = serve(folder)
    whole = (folder / "planqk.json").read_text()
    (folder / "planqk.json").write_text("{")
    answer = eventually(
        lambda: (found := server.ask("GET", "/")).status == 503 and found, "that it is broken"
    )
    assert "planqk.json can't be read" in answer.json["detail"]
    (folder / "planqk.json").write_text(whole)
    eventually(lambda: server.ask("GET", "/").status == 200, "that it is served")
    assert server.result(server.submit({"value": 1})) == {"answer": 1}


def test_a_single_run_ends_with_the_reason_where_its_job_would_wait(project, tmp_path):
    folder = project(ANSWERS, 'runtime = "picky"\nprogram = "command"\ncommand = ["true"]')
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "picky.py").write_text(PICKY)
    command = [str(TREADLE), "run", str(folder), "--plugins-dir", str(tmp_path / "plugins")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ran.returncode == 1
    (error,) = (line for line in ran.stderr.splitlines() if line.startswith("Error: "))
    assert "the moon is missing" in error
