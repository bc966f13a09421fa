"""Programs do what they do in a plain run of their function, in each way in which Treadle starts them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.plain import plain_run
from tests.acceptance.server import Server

RAISES = {
    "an exception": "raise ValueError('no value')",
    "a cancelled task": "import asyncio; raise asyncio.CancelledError",
    "an interrupt": "raise KeyboardInterrupt",
    "an exception without a text": "class Silent(Exception):\n        __str__ = None\n    raise Silent('x')",
    "a generator's exit": "raise GeneratorExit",
    "an exception of a group": "raise ExceptionGroup('several', [ValueError('1')])",
}
HOOK = """
import sys
sys.excepthook = lambda kind, error, trace: print('seen by a hook:', error, file=sys.stderr)
def run(data, params):
    raise ValueError('no value')
"""


@pytest.fixture(params=["fork", "spawn"])
def start(request):
    return request.param


def served(serve, folder: Path, program: str, start: str, more: str = "") -> Server:
    """Serve a project, and run it once in the plain way."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "program.py").write_text(program)
    (folder / "treadle.toml").write_text(f'name = "service"\nstart = "{start}"\n{more}')
    return serve(folder)


@pytest.mark.parametrize("name", RAISES)
def test_what_a_program_raises_is_its_failure(serve, tmp_path, name, start):
    program = f"def run(data, params):\n    {RAISES[name]}\n"
    server = served(serve, tmp_path / "project", program, start)
    job = server.submit()
    assert server.ended(job)["status"] == "FAILED"
    plain = plain_run(tmp_path / "project", tmp_path / "result")
    failure = server.ask("GET", f"/{job}/result").json
    assert re.search(rf"\b{failure['code']}\b", plain.stderr)
    log = (server.spool / "done" / job / "stderr.log").read_text()
    assert log.splitlines()[-1] == plain.stderr.splitlines()[-1]
    assert "treadle_inside" not in log
    assert server.status(job)["attempts"][-1]["code"] == 1


def test_the_program_s_own_hook_sees_its_exception(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", HOOK, start)
    job = server.submit()
    assert server.ended(job)["status"] == "FAILED"
    plain = plain_run(tmp_path / "project", tmp_path / "result")
    assert (server.spool / "done" / job / "stderr.log").read_text() == plain.stderr
    assert server.ask("GET", f"/{job}/result").json == {"code": "ValueError", "detail": "no value"}


USES = """
import subprocess, sys
def run(data, params):
    code = "x = bytearray(b'x' * 100_000_000); n = sum(range(10_000_000))"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def test_the_status_tells_what_an_attempt_has_used(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", USES, start)
    server.ended(job := server.submit())
    (attempt,) = server.status(job)["attempts"]
    assert 0.1 < attempt["cpu_seconds"] < 60
    assert 100_000_000 < attempt["peak_memory"] < 10**9


def test_text_in_place_of_a_value_is_noted(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", "def run(data, params):\n    return [1j]\n", start)
    server.ended(job := server.submit())
    assert server.result(job) == ["1j"]
    assert any("complex" in note for note in server.status(job)["notes"])


def test_null_is_no_input(serve, tmp_path, start):
    program = "def run(data=None, params=None):\n    return [data, params]\n"
    server = served(serve, tmp_path / "project", program, start)
    answer = server.ask("POST", "/", json.dumps({"data": None, "params": None}).encode())
    assert server.result(answer.json["id"]) == [{}, {}]


READS = """
import json
def run(data, params):
    with open('input/data.json') as file:
        return json.load(file)
"""


@pytest.mark.parametrize("where", ["empty", "project"])
def test_a_program_reads_its_project_s_files_where_it_works_there(serve, tmp_path, start, where):
    (tmp_path / "project" / "input").mkdir(parents=True)
    (tmp_path / "project" / "input" / "data.json").write_text('{"n": 1}')
    server = served(serve, tmp_path / "project", READS, start, f'workdir = "{where}"\n')
    server.ended(job := server.submit())
    result = server.ask("GET", f"/{job}/result").json
    if where == "project":
        assert result == {"n": 1}
    else:
        assert result["code"] == "FileNotFoundError"
        assert 'workdir = "project"' in result["detail"]


def test_a_command_works_in_its_project_as_well(serve, tmp_path):
    (project := tmp_path / "project").mkdir()
    (project / "value").write_text("1")
    command = """["/bin/sh", "-c", "echo PlanQK:Job:Result: $(cat value)"]"""
    (project / "treadle.toml").write_text(f'program = "command"\ncommand = {command}\nworkdir = "project"\n')
    server = serve(project)
    assert server.result(server.submit()) == 1


WRITES = """
def run(data, params):
    with open('notes.txt', 'w') as file:
        file.write('seen')
    if data['fails']:
        raise ValueError('on purpose')
    return open('notes.txt').read()
"""


def test_the_working_folder_of_a_failed_job_is_kept_where_that_is_wished(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", WRITES, start, 'keep_work = "failed"\n')
    for fails in (True, False, True):
        server.ended(job := server.submit({"fails": fails}))
        kept = server.spool / "done" / job / "work"
        assert [each.name for each in kept.glob("*")] == ["notes.txt"] * fails
        assert (kept / "notes.txt").exists() is fails


SHADOWED = ("random", "secrets", "socket", "queue", "signal", "select", "struct", "resource", "json")


def test_a_project_s_own_modules_come_before_those_of_the_standard_library(serve, tmp_path, start):
    names = ", ".join(SHADOWED)
    program = f"import {names}\ndef run(data, params):\n    return [each.OWN for each in ({names})]\n"
    (tmp_path / "project").mkdir()
    for name in SHADOWED:
        (tmp_path / "project" / f"{name}.py").write_text(f"OWN = {name!r}\n")
    server = served(serve, tmp_path / "project", program, start)
    assert server.result(server.submit()) == list(SHADOWED)


def test_a_service_s_own_place_for_temporary_files_is_taken(serve, tmp_path, start):
    (tmp_path / "own").mkdir()
    program = "import tempfile\ndef run(data, params):\n    return tempfile.gettempdir()\n"
    more = f'[environment]\nTMPDIR = "{tmp_path / "own"}"\n'
    server = served(serve, tmp_path / "project", program, start, more)
    assert server.result(server.submit()) == str(tmp_path / "own")
