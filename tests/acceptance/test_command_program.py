"""Services that are executables: `program = "command"`, input in files, results as markers on the output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.acceptance.server import eventually

ADD = """#!/bin/sh
echo "PlanQK:Job:InterimResult: 1"
data=$(cat "$INPUT_DIRECTORY/data.json")
params=$(cat "$INPUT_DIRECTORY/params.json")
echo "PlanQK:Job:Result: {\\"data\\": $data, \\"params\\": $params, \\"argument\\": \\"$1\\"}"
"""


@pytest.fixture(params=["fork", "spawn"])
def start(request):
    return request.param


@pytest.fixture
def command(tmp_path, start):
    """Write a service project whose command is a script of its own."""

    def write(script: str, *arguments: str, toml: str = "") -> Path:
        path = tmp_path / "projects" / "script"
        path.mkdir(parents=True)
        (path / "run.sh").write_text(script)
        (path / "run.sh").chmod(0o755)
        lines = ['program = "command"', f"command = {json.dumps(['./run.sh', *arguments])}"]
        (path / "treadle.toml").write_text("\n".join([*lines, f'start = "{start}"', toml]))
        return path

    return write


def test_it_finds_its_input_in_files_and_prints_its_results(serve, command):
    server = serve(command(ADD, "{project}/model.dat"))
    job = server.submit({"n": 10**30}, {"deep": [1, {}]})
    assert server.ended(job)["status"] == "SUCCEEDED"
    project = server.arguments[0]
    assert server.result(job) == {
        "data": {"n": 10**30},
        "params": {"deep": [1, {}]},
        "argument": f"{project}/model.dat",
    }
    assert server.ask("GET", f"/{job}/interim-results").json == [1]


def test_its_exit_code_and_its_stderr_are_the_failure(serve, command):
    server = serve(command("#!/bin/sh\necho too bad >&2\nexit 7\n"))
    assert server.result(server.submit()) == {"code": "EXIT_7", "detail": "too bad"}


def test_it_works_in_an_empty_folder_and_sees_no_secret_of_the_engine(serve, command, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_ENGINE", "x")
    script = '#!/bin/sh\nls -A > list\nset > "$TREADLE_SEES"\necho "PlanQK:Job:Result: $(wc -l < list)"\n'
    path = command(script, toml='environment = { TREADLE_SEES = "/dev/stderr" }')
    server = serve(path)
    job = server.submit()
    assert server.result(job) == 1
    log = (server.spool / "done" / job / "stderr.log").read_text()
    assert "SECRET_OF_THE_ENGINE" not in log
    assert f"TREADLE_JOB_ID='{job}'" in log


def test_a_broken_pipe_ends_it_as_it_does_in_a_shell(serve, command):
    pipe = '(yes; echo "yes: $?" >&2) | head -n 1 > /dev/null'
    server = serve(command(f"#!/bin/sh\n{pipe}\necho PlanQK:Job:Result: 1\n"))
    job = server.submit()
    assert server.result(job) == 1
    assert "yes: 141" in (server.spool / "done" / job / "stderr.log").read_text()


def test_a_cancel_reaches_it_and_what_it_has_started(serve, command, tmp_path):
    script = f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/child\nwait\n"
    server = serve(command(script), "--grace", "0.2")
    job = server.submit()
    eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), "its start")
    assert server.ask("PUT", f"/{job}/cancel").json["status"] == "CANCELLED"


def test_a_program_that_is_not_there_is_reported_at_the_start(serve, tmp_path):
    path = tmp_path / "projects" / "none"
    path.mkdir(parents=True)
    (path / "treadle.toml").write_text('program = "command"\ncommand = ["./missing"]\n')
    with pytest.raises(AssertionError, match=r"not there, or not executable: .*missing"):
        serve(path)


def test_a_program_that_went_away_fails_its_job_alone(serve, command):
    path = command("#!/bin/sh\necho PlanQK:Job:Result: 1\n")
    server = serve(path)
    (path / "run.sh").rename(path / "later.sh")
    failure = server.result(server.submit())
    assert (failure["code"], "run.sh can't be executed" in failure["detail"]) == ("COMMAND_NOT_STARTED", True)
    (path / "later.sh").rename(path / "run.sh")
    assert server.result(server.submit()) == 1


def test_arguments_that_no_system_can_pass_fail_the_job(serve, tmp_path, start):
    path = tmp_path / "projects" / "impossible"
    path.mkdir(parents=True)
    command = 'command = ["echo", "a\\u0000b"]'
    (path / "treadle.toml").write_text(f'program = "command"\nstart = "{start}"\n{command}\n')
    server = serve(path)
    failure = server.result(server.submit())
    assert failure == {"code": "COMMAND_NOT_STARTED", "detail": "echo can't be executed: embedded null byte"}


@pytest.mark.parametrize("python", [".venv", ".venv/bin/python"])
def test_the_service_s_virtual_environment_is_on_its_path(serve, tmp_path, python):
    path = tmp_path / "projects" / "venv"
    (path / ".venv" / "bin").mkdir(parents=True)
    (path / ".venv" / "pyvenv.cfg").touch()
    (path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    tool = path / ".venv" / "bin" / "tool"
    tool.write_text("#!/bin/sh\necho PlanQK:Job:Result: 42\n")
    tool.chmod(0o755)
    (path / "treadle.toml").write_text(f'program = "command"\ncommand = ["tool"]\npython = "{python}"\n')
    server = serve(path)
    assert server.result(server.submit()) == 42


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('program = "command"\n', "needs `command` in treadle.toml"),
        ('program = "container"\nruntime = "host"\nimage = "x"\n', "needs an image, and runtime 'host'"),
        ('program = "python-template"\nruntime = "docker"\n', "program 'python-template' has none"),
        ('program = "command"\nenvironment = { "A=B" = "x" }\n', "line 2: environment .* no '='"),
        ('program = "comand"\n', "no program named 'comand'; did you mean 'command'"),
    ],
)
def test_a_program_and_a_runtime_that_don_t_go_together_are_reported(serve, tmp_path, toml, says):
    path = tmp_path / "projects" / "wrong"
    path.mkdir(parents=True)
    (path / "treadle.toml").write_text(toml)
    with pytest.raises(AssertionError, match=says):
        serve(path)
