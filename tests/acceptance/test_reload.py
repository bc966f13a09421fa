"""Services that are read again because somebody asks: `treadle reload`, the file `reload`, SIGHUP."""

from __future__ import annotations

import json
import shutil
import signal

import pytest

from tests.acceptance.command import treadle
from treadle.testing import eventually

ANSWERS = "def run(data, params):\n    return 1\n"
MOODY = """
from pathlib import Path
from treadle import Runtime, hookimpl

class Moody(Runtime):
    name = "moody"

    async def start(self, attempt, command):
        raise AssertionError

    async def missing(self, service):
        return None if Path({flag!r}).exists() else "the flag is missing"

    async def wait(self, attempt):
        raise AssertionError

    async def stop(self, attempt, grace):
        pass

@hookimpl
def register_runtimes(settings):
    return [Moody()]
"""


@pytest.fixture
def server(serve, project, tmp_path):
    for name in ("stays", "changes", "goes"):
        project(ANSWERS, name=name)
    return serve("--services", tmp_path / "projects")


def test_it_tells_what_is_different_and_what_is_broken(server, project, tmp_path):
    first = treadle("reload", "--spool", server.spool)
    assert (first.returncode, first.stdout) == (0, "3 services are served\n")
    project(ANSWERS, name="comes")
    (tmp_path / "projects" / "changes" / "treadle.toml").write_text("timeout = 9")
    shutil.rmtree(tmp_path / "projects" / "goes")
    second = treadle("reload", "--spool", server.spool)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines() == [
        "added    comes",
        "changed  changes",
        "removed  goes",
        "3 services are served",
    ]
    (tmp_path / "projects" / "comes" / "planqk.json").write_text("{")
    third = treadle("reload", "--spool", server.spool)
    assert third.returncode == 1
    assert third.stdout.startswith("BROKEN   comes: ")
    assert "planqk.json can't be read" in third.stdout
    assert not (server.spool / "reload").exists()


def test_anyone_who_may_write_to_the_spool_asks_by_a_file(server, project):
    project(ANSWERS, name="comes")
    (server.spool / "reload").touch()
    eventually(lambda: not (server.spool / "reload").exists(), "the end of the reload")
    assert "comes" in server.ask("GET", "/").json["services"]
    listed = json.loads((server.spool / "services.json").read_bytes())
    assert {each["name"] for each in listed["services"]} == {"stays", "changes", "goes", "comes"}
    assert listed["reloaded"]["added"] == ["comes"]


def test_what_can_t_be_removed_is_left_alone_and_the_engine_goes_on(server, project):
    (server.spool / "reload").mkdir()
    eventually(lambda: "can't be removed" in server.log.read_text(), "that it is logged")
    project(ANSWERS, name="comes")
    eventually(lambda: "comes" in server.ask("GET", "/").json["services"], "the new service")
    assert server.log.read_text().count("can't be removed") == 1
    assert treadle("reload", "--spool", server.spool).returncode == 1


def test_sighup_has_the_services_read_again(server, project):
    assert server.process is not None
    project(ANSWERS, name="comes")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "comes" in server.ask("GET", "/").json["services"], "the new service")
    assert server.stop() == 0


def test_sighup_has_the_host_looked_at_again_too(serve, project, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "moody.py").write_text(MOODY.format(flag=str(flag)))
    server = serve(project(ANSWERS, 'runtime = "moody"'), "--plugins-dir", tmp_path / "plugins")
    assert server.ask("GET", "/").status == 200
    flag.unlink()
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: server.ask("GET", "/").status == 503, "that it is broken", 5)  # by itself: in 10 s


def test_without_an_engine_there_is_nobody_to_ask(server):
    server.stop()
    asked = treadle("reload", "--spool", server.spool)
    assert asked.returncode == 1
    assert "no engine works on the spool" in asked.stderr
    assert not (server.spool / "reload").exists()


def test_the_status_of_a_waiting_job_says_why_without_a_server_too(server, tmp_path):
    planqk = tmp_path / "projects" / "goes" / "planqk.json"
    job = {"service": "goes", "created": "2026-01-01T00:00:00Z"}
    planqk.write_text("{")
    eventually(lambda: server.ask("GET", "/services/goes").status == 503, "that it is broken")
    draft = server.spool / "tmp" / "1-draft"
    draft.write_text(json.dumps(job))
    (server.spool / "queue" / "waits.json").hardlink_to(draft)
    shown = treadle("status", "--spool", server.spool, "waits")
    assert "service 'goes' is broken" in shown.stdout
    shown = treadle("status", "--url", server.url, "--service", "goes", "waits")
    assert "service 'goes' is broken" in shown.stdout


def test_an_api_process_takes_in_what_changes_too(server, serve, project, tmp_path):
    api = serve("--services", tmp_path / "projects", "--api-only")
    project(ANSWERS, name="comes")
    eventually(lambda: "comes" in api.ask("GET", "/").json["services"], "the new service")
    assert api.result(api.submit(base="/services/comes"), "/services/comes") == 1


def test_doctor_lists_what_is_broken(project, tmp_path):
    project(ANSWERS, name="good")
    (project(ANSWERS, name="bad") / "planqk.json").write_text("{")
    found = treadle("doctor", "--services", tmp_path / "projects")
    assert "service bad" in found.stdout
    assert "service good" not in found.stdout
    assert found.returncode == 1
