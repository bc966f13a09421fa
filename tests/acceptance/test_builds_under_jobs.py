"""Builds beside running jobs and beside each other, interrupted builds, and who tells what is to be built."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.acceptance.building import build, environments, needing
from tests.acceptance.command import treadle
from tests.acceptance.server import TREADLE
from tests.wheels import make_waiting_package
from treadle.testing import eventually

WAITING = """
import pathlib, sys, time

def run(data, params):
    pathlib.Path(data["place"], "begun").touch()
    while not pathlib.Path(data["place"], "go").exists():
        time.sleep(0.01)
    import needed
    return [needed.VERSION, sys.prefix]
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_running_job_keeps_its_environment_and_the_next_one_has_the_new(serve, project, tmp_path, start):
    path, place = needing(project, WAITING, f'start = "{start}"\n'), tmp_path / "place"
    place.mkdir()
    config = tmp_path / "engine.toml"
    config.write_text("[plugins.python-template]\nidle = 0.2\n")
    build(path)
    server = serve(path, "--config", config)
    running = server.submit({"place": str(place)})
    eventually((place / "begun").exists, "the job")
    (path / "requirements.txt").write_text("needed==2.0\n")
    build(path)
    (place / "go").touch()
    before = server.result(running)
    after = server.result(server.submit({"place": str(place)}))
    assert (before[0], after[0]) == ("1.0", "2.0")
    assert {before[1], after[1]} == {str(path / ".venvs" / name) for name in environments(path)}
    eventually(lambda: not any(before[1] in each for each in commands()), "the end of the old fork server")


def commands() -> list[str]:
    """Return the arguments of all processes."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return found


def test_a_service_that_is_served_already_uses_what_is_built(serve, project):
    path = needing(project)
    server = serve(path)
    failed = server.result(server.submit())
    assert failed["code"] == "ModuleNotFoundError"
    assert failed["detail"].startswith("No module named 'needed' (")
    assert f"`treadle build {path}`" in failed["detail"]
    build(path)
    assert server.result(server.submit())["version"] == "1.0"


COMMAND = """
program = "command"
command = ["python3", "{project}/main.py"]
"""
MAIN = "import json, needed\nprint('PlanQK:Job:Result:', json.dumps(needed.VERSION))\n"


def test_a_command_finds_what_is_built_and_its_failure_says_what_is_not(serve, project):
    path = needing(project, toml=COMMAND)
    (path / "main.py").write_text(MAIN)
    server = serve(path)
    failed = server.result(server.submit())
    assert failed["code"] == "EXIT_1"
    assert failed["detail"].startswith("requirements.txt is not installed (needed): run `treadle build")
    assert "ModuleNotFoundError" in failed["detail"]
    build(path)
    assert server.result(server.submit()) == "1.0"


def test_a_module_of_the_project_s_own_that_is_missing_is_not_to_be_installed(serve, project):
    path = project("from . import nothing\ndef run():\n    pass\n")
    (path / "src" / "program.py").write_text("import src.nothing\n")
    server = serve(path)
    assert server.result(server.submit())["detail"] == "No module named 'src.nothing'"


def test_who_runs_a_service_tells_what_is_not_installed_and_build_does_it(serve, project, tmp_path):
    path = needing(project)
    line = f"requirements.txt is not installed (needed): run `treadle build {path}`"
    ran = treadle("run", path)
    assert (ran.returncode, ran.stderr.count(line)) == (1, 1)
    assert line in " ".join(treadle("doctor", path, COLUMNS="400").stdout.split())
    told = serving(path, tmp_path / "spool")
    assert f"service: {line}" in told
    offline = {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "PIP_NO_INDEX": "1"}
    ran = treadle("run", path, "--build", **offline)
    assert (ran.returncode, '"version": "1.0"' in ran.stdout, line in ran.stderr) == (0, True, False), (
        ran.stderr
    )
    assert "service needed" not in treadle("doctor", path, COLUMNS="400").stdout
    (path / "requirements.txt").write_text("needed==2.0\n")
    assert "what its environment was made from has changed" in treadle("run", path).stderr
    told = serving(path, tmp_path / "spool", "--build", **offline)
    assert "is not installed" not in told
    assert "has changed" not in told
    assert '"version": "2.0"' in treadle("run", path).stdout


def serving(path: Path, spool: Path, *arguments: str, **environment: str) -> str:
    """Return what a server prints before its last line, which names the spool; then stop it."""
    command = [TREADLE, "serve", path, "--spool", spool, "--port", "0", *arguments]
    variables = ["env", *(f"{name}={value}" for name, value in environment.items())]
    with subprocess.Popen([*variables, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Spool: "):
                break
        process.terminate()
    return "".join(lines)


@pytest.fixture
def waiting(project):
    """A project whose build waits for a file; and the folder of that file."""
    path = needing(project)
    package = make_waiting_package(path / "slow", "slow")
    (path / "requirements.txt").write_text("./slow\nneeded==1.0\n")
    return path, package


def start_build(path: Path, output: Path) -> subprocess.Popen[bytes]:
    with output.open("w") as file:
        return subprocess.Popen([TREADLE, "build", path, "--offline"], stdout=file, stderr=file)


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_build_that_is_interrupted_leaves_nothing(waiting, tmp_path):
    path, package = waiting
    process = start_build(path, tmp_path / "output")
    eventually((package / "begun").exists, "the build")
    backend = psutil.Process(int((package / "begun").read_text()))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    eventually(lambda: not is_alive(backend), "the end of what the build has started")
    assert environments(path) == []
    assert not (path / ".venv").exists()


def test_what_a_killed_build_has_left_is_never_used_and_the_next_one_waits_for_its_tool(waiting, tmp_path):
    path, package = waiting
    process = start_build(path, tmp_path / "output")
    eventually((package / "begun").exists, "the build")
    process.kill()
    process.wait()
    (half,) = environments(path)
    assert not (path / ".venv").exists()
    assert "is not installed" in treadle("run", path).stderr
    second = start_build(path, tmp_path / "second")
    eventually(lambda: "waiting for another build" in (tmp_path / "second").read_text(), "the second build")
    (package / "go").touch()
    assert second.wait(60) == 0, (tmp_path / "second").read_text()
    assert environments(path) == [half]
    assert treadle("run", path).returncode == 0


def test_two_builds_at_once_make_one_environment(waiting, tmp_path):
    path, package = waiting
    first = start_build(path, tmp_path / "first")
    eventually((package / "begun").exists, "the first build")
    second = start_build(path, tmp_path / "second")
    eventually(lambda: "waiting for another build" in (tmp_path / "second").read_text(), "the second build")
    (package / "go").touch()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert "what it was made from is the same" in (tmp_path / "second").read_text()
    assert len(environments(path)) == 1
    assert treadle("run", path).returncode == 0
