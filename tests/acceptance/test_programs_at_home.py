"""Programs do what they do in a plain run of their function, in each way in which Treadle starts them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.server import Server

PLAIN = """
import json, sys
from src.program import run
value = run({}, {})
if value is not None:
    with open(sys.argv[1], "w") as file:
        json.dump(value, file)
"""
"""What somebody writes who tries a program without Treadle: its value goes to a file."""
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


def served(serve, folder: Path, program: str, start: str) -> Server:
    """Serve a project, and run it once in the plain way."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "program.py").write_text(program)
    (folder / "treadle.toml").write_text(f'name = "service"\nstart = "{start}"\n')
    return serve(folder)


def plain_run(folder: Path, result: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PLAIN, str(result)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


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
