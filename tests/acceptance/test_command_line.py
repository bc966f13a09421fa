"""The command line, run as a user does: arguments in, output and exit status out."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from tests.acceptance.command import treadle
from tests.acceptance.server import EXAMPLES, TREADLE, eventually


@pytest.fixture(scope="module")
def server(module_server):
    return module_server("--services", EXAMPLES)


@pytest.fixture(params=["url", "spool"])
def where(request, server):
    """The options of both backends: a server's URL, and a spool's folder."""
    return ["--url", server.url] if request.param == "url" else ["--spool", server.spool]


@pytest.mark.parametrize(
    "command", ["submit", "status", "result", "interim", "logs", "cancel", "list", "wait"]
)
def test_every_command_explains_itself(command):
    assert "Usage:" in treadle(command, "--help").stdout


def test_a_job_from_its_submission_to_its_result(where):
    sum_ = [*where, "--service", "sum"]
    submitted = treadle("submit", *sum_, "--data", '{"values": [20, 22]}', "--label", "a=b")
    job = submitted.stdout.strip()
    assert treadle("wait", job, *sum_).returncode == 0
    assert json.loads(treadle("result", job, *sum_).stdout)["result"] == {"sum": 42}
    assert json.loads(treadle("status", job, *sum_, "--json").stdout)["status"] == "SUCCEEDED"
    assert "SUCCEEDED" in treadle("status", job, *sum_).stdout
    assert treadle("interim", job, *sum_).stdout.strip() == "[]"
    assert treadle("cancel", job, *sum_).returncode == 0


def test_submit_may_wait_for_the_result(where, tmp_path):
    (tmp_path / "data.json").write_text('{"values": [1, 2]}')
    answer = treadle("submit", *where, "--service", "sum", "--wait", "--data", f"@{tmp_path / 'data.json'}")
    assert json.loads(answer.stdout)["result"] == {"sum": 3}


def test_a_job_that_fails_is_reported_by_the_exit_code(where):
    job = treadle("submit", *where, "--service", "failing").stdout.strip()
    assert treadle("wait", job, *where, "--service", "failing").returncode == 1


def test_a_job_that_has_not_ended_is_reported_by_the_exit_code(where):
    interim = [*where, "--service", "interim"]
    job = treadle(
        "submit", *interim, "--data", '{"values": [1, 2]}', "--params", '{"delay": 30}'
    ).stdout.strip()
    assert treadle("wait", job, *interim, "--timeout", "0.1").returncode == 2
    assert treadle("cancel", job, *interim).returncode == 0
    assert treadle("wait", job, *interim).returncode == 1


def test_jobs_are_listed_from_the_spool(server):
    name = f"listed-{time.time_ns()}"
    treadle(
        "submit",
        "--spool",
        server.spool,
        "--service",
        "sum",
        "--name",
        name,
        "--wait",
        "--data",
        '{"values": []}',
    )
    listed = json.loads(treadle("list", "--spool", server.spool, "--json").stdout)
    assert {"id": name, "status": "SUCCEEDED"}.items() <= next(
        each for each in listed if each["id"] == name
    ).items()
    assert name in treadle("list", "--spool", server.spool, COLUMNS="200").stdout


def test_ended_jobs_are_removed_when_they_are_too_many(serve):
    server = serve(EXAMPLES / "sum")
    jobs = [server.submit({"values": [number]}) for number in range(3)]
    for job in jobs:
        server.ended(job)
    assert "say what is to be kept" in treadle("gc", "--spool", server.spool).stderr
    told = treadle("gc", "--spool", server.spool, "--jobs", "1", "--dry-run")
    assert told.stdout.count("\n") == 2
    assert treadle("gc", "--spool", server.spool, "--jobs", "1").stdout == told.stdout
    left = [job for job in jobs if server.ask("GET", f"/{job}").status == 200]
    assert len(left) == 1


def test_an_engine_lets_ended_jobs_go_by_itself(serve):
    server = serve(EXAMPLES / "sum", "--keep-jobs", "1", "--tidy", "0.2")
    jobs = [server.submit({"values": [number]}) for number in range(3)]
    eventually(lambda: sum(server.ask("GET", f"/{job}").status == 404 for job in jobs) == 2, "two to go")


def test_logs_are_followed_until_the_end(server):
    arguments = ["--service", "interim", "--data", '{"values": [1, 2, 3]}', "--params", '{"delay": 0.2}']
    job = treadle("submit", "--spool", server.spool, *arguments).stdout.strip()
    followed = treadle("logs", "-f", job, "--spool", server.spool).stdout
    assert followed.count("PlanQK:Job:InterimResult") >= 3
    assert treadle("logs", job, "--spool", server.spool).stdout == followed


def test_one_job_is_run_without_a_server():
    ran = treadle("run", EXAMPLES / "sum", "--data", '{"values": [20, 22]}')
    assert (ran.returncode, json.loads(ran.stdout)["result"]) == (0, {"sum": 42})


def test_a_run_takes_the_project_s_own_input_and_shows_interim_results():
    ran = treadle("run", EXAMPLES / "interim")
    assert ran.returncode == 0
    assert "interim result:" in ran.stderr


def test_a_run_that_fails_is_reported_by_the_exit_code():
    ran = treadle("run", EXAMPLES / "failing")
    assert ran.returncode == 1
    assert {"code", "detail"} <= set(json.loads(ran.stdout))


def test_a_run_that_is_interrupted_leaves_no_process_behind(project, tmp_path):
    path = project("import time\ndef run(data):\n    open(data['mark'], 'w').close()\n    time.sleep(600)\n")
    data = json.dumps({"mark": str(tmp_path / "mark")})
    command = [TREADLE, "run", path, "--data", data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        eventually((tmp_path / "mark").exists, "the start of the program")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_new_project_runs_as_it_is(tmp_path):
    assert treadle("init", "adder", cwd=tmp_path).returncode == 0
    ran = treadle("run", "adder", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    again = treadle("init", "adder", cwd=tmp_path)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)


def test_a_job_waits_in_the_spool_for_an_engine(serve):
    server = serve(EXAMPLES / "sum")
    server.stop()
    arguments = ["--service", "sum", "--name", "early", "--data", '{"values": [1]}']
    submitted = treadle("submit", "--spool", server.spool, *arguments)
    assert "no engine is running" in submitted.stderr
    server = serve(EXAMPLES / "sum")
    server.dropped("early")
    assert server.result("early")["result"] == {"sum": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "/nothing"], "does not exist"),
        (["serve", "--port", "99999"], "99999"),
        (["run", "/"], "not a service project"),
        (["run", EXAMPLES / "sum", "--data", "{oops"], "not valid JSON"),
        (["run", EXAMPLES / "sum", "--data", "[1]"], "expected a JSON object"),
        (["run", EXAMPLES / "sum", "--data", "@/nothing"], "/nothing can't be read"),
        (["run", EXAMPLES / "sum", "--data", '{"values": ["x"]}'], "number"),
        (["status", "x", "--url", "http://127.0.0.1:1"], "is `treadle serve` running?"),
        (["status", "x", "--url", "ftp://x"], "not an http:// or https:// URL"),
        (["status", "x", "--spool", "/nothing"], "is not a spool"),
        (["list", "--url", "http://127.0.0.1:1"], "--spool"),
        (["logs", "x"], "--spool"),
        (["submit", "--label", "x"], "key=value"),
        (["nonsense"], "No such command"),
    ],
)
def test_an_error_is_one_clear_line(arguments, words):
    answer = treadle(*arguments, XDG_STATE_HOME="/nothing", XDG_CONFIG_HOME="/nothing")
    assert answer.returncode != 0
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unknown_job_is_one_clear_line(where):
    answer = treadle("status", "nothing", *where, "--service", "sum")
    assert answer.returncode == 1
    assert "no job named 'nothing'" in answer.stderr


def test_a_port_that_is_taken_is_reported(server, tmp_path):
    port = server.url.rpartition(":")[2]
    answer = treadle("serve", EXAMPLES / "sum", "--spool", tmp_path / "spool", "--port", port)
    assert answer.returncode == 1
    assert "choose another --port" in answer.stderr


def test_settings_come_from_flags_then_the_environment_then_the_file(tmp_path):
    (tmp_path / "engine.toml").write_text('plugins_dir = "."\ndisable = ["markers"]\n')
    listed = json.loads(treadle("plugins", "--json", "--config", tmp_path / "engine.toml").stdout)
    assert {each["name"]: each["disabled"] for each in listed}["markers"] is True
    listed = json.loads(treadle("plugins", "--json", TREADLE_DISABLE="python-template").stdout)
    assert {each["name"]: each["disabled"] for each in listed}["python-template"] is True
    (tmp_path / "engine.toml").write_text("prot = 1\n")
    assert "did you mean 'port'" in treadle("plugins", "--config", tmp_path / "engine.toml").stderr


def test_without_a_project_the_current_folder_is_served_or_its_lack_reported(tmp_path):
    answer = treadle("serve", "--spool", tmp_path / "spool", cwd=tmp_path)
    assert "name a PROJECT" in answer.stderr
