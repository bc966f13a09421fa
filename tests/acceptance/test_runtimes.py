"""One suite for every runtime: the same scripts, the same outcomes, the same cancel, the same recovery."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.scripts import script_project
from tests.acceptance.server import Server, eventually
from tests.engines import RUNTIMES, need
from tests.images import client

KILLS = int(os.environ.get("TREADLE_KILLS", "3"))
"""How often the engine is killed under its running jobs."""


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    need(request.param)
    return request.param


@pytest.fixture
def script(runtime, serve, tmp_path):
    """Serve a shell script as a service of the runtime."""

    config = tmp_path / "engine.toml"
    config.write_text(
        "tidy = 1\n[plugins.docker]\nstranger_grace = 1\n[plugins.podman]\nstranger_grace = 1\n"
    )

    def start(text: str, toml: str = "", *arguments: str) -> Server:
        folder = tmp_path / "script"
        if not folder.exists():
            script_project(folder, runtime, text, toml)
        return serve(folder, "--config", config, *arguments)

    return start


def containers(runtime: str, server: Server, *options: str) -> str:
    """Return the spool's containers that run, or with `-a` all of them."""
    spool = json.loads((server.spool / "spool.json").read_bytes())["id"]
    command = [client(runtime), "ps", *options, "-q", "--filter", f"label=treadle.spool={spool}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def left_behind(runtime: str, server: Server) -> str:
    """Return the containers that the spool still has."""
    return "" if runtime == "python" else containers(runtime, server, "-a")


def program_ended(runtime: str, server: Server, job: str) -> bool:
    """Return whether the program of a started job has ended, without an engine that could tell."""
    if runtime == "python":
        return any((server.spool / "run" / job).glob("exit-*"))
    return not containers(runtime, server)


STEPS = """
for i in 1 2 3 4; do
    echo "PlanQK:Job:InterimResult: {\\"step\\": $i}"
    sleep 0.5
done
echo PlanQK:Job:MultilineResult
echo '{'
echo '  "sum": 42'
echo '}'
echo PlanQK:Job:MultilineResult
"""
NEEDS_VALUES = """
grep -q values $INPUT/data.json || { echo 'no values' >&2; exit 1; }
echo PlanQK:Job:Result: 1
"""
RESTLESS = "echo PlanQK:Job:InterimResult: 1; while true; do sleep 0.1; done"


# ---------------------------------------------------------------------- outcomes


def test_a_single_result(script):
    server = script("echo log; echo 'PlanQK:Job:Result: {\"sum\": 42}'; echo more")
    job = server.submit()
    assert server.result(job) == {"sum": 42}
    assert server.status(job)["status"] == "SUCCEEDED"


def test_interim_results_while_it_runs_and_then_a_result_of_many_lines(script):
    server = script(STEPS)
    job = server.submit()
    first = eventually(lambda: server.ask("GET", f"/{job}/interim-results").json, "an interim result")
    assert first[0] == {"step": 1}
    assert server.ask("GET", f"/{job}").json["status"] == "RUNNING"
    assert server.result(job) == {"sum": 42}
    assert server.ask("GET", f"/{job}/interim-results").json == [{"step": number} for number in (1, 2, 3, 4)]
    assert server.ask("GET", f"/{job}/interim-results?last=true").json == {"step": 4}


def test_input_reaches_the_program_as_valid_json(script):
    server = script("echo PlanQK:Job:Result: [$(cat $INPUT/data.json),$(cat $INPUT/params.json)]")
    data = {"big": 18446744073709551617, "z": 1, "a": "ü"}
    assert server.result(server.submit(data, {"p": [1]})) == [data, {"p": [1]}]
    answer = server.ask("POST", "/", b"")
    assert server.result(answer.json["id"]) == [{}, {}]


def test_a_program_that_misses_its_input_says_so_by_its_exit_code(script):
    server = script(NEEDS_VALUES)
    job = server.submit({})
    assert server.result(job) == {"code": "EXIT_1", "detail": "no values"}
    assert server.ask("GET", f"/{job}").json["status"] == "FAILED"
    assert server.result(server.submit({"values": []})) == 1


def test_a_result_of_a_program_that_fails_is_the_failure(script):
    server = script('echo \'PlanQK:Job:Result: {"code": "X"}\'; exit 3')
    job = server.submit()
    assert server.result(job) == {"code": "X"}
    assert server.status(job)["status"] == "FAILED"
    assert server.status(job)["attempts"][0]["code"] == 3


def test_no_result_is_null(script):
    server = script("true")
    assert server.result(server.submit()) is None


def test_a_result_that_is_no_json_fails_the_job(script):
    server = script("echo 'PlanQK:Job:Result: {oops'")
    job = server.submit()
    assert server.result(job)["code"] == "INVALID_RESULT"


def test_standard_output_and_standard_error_are_kept_apart_byte_for_byte(script):
    server = script("printf 'out\\377\\000\\r\\n'; printf 'err\\376' >&2; printf last")
    job = server.submit()
    server.ended(job)
    done = server.spool / "done" / job
    assert (done / "stdout.log").read_bytes() == b"out\xff\x00\r\nlast"
    assert (done / "stderr.log").read_bytes() == b"err\xfe"


def test_20_mb_of_output_come_out_byte_for_byte(script):
    server = script("yes $(seq 1 30) | head -c 20000000; echo; echo PlanQK:Job:Result: 1")
    job = server.submit()
    assert server.result(job) == 1
    line = b" ".join(b"%d" % number for number in range(1, 31)) + b"\n"
    expected = (line * (20_000_000 // len(line) + 1))[:20_000_000] + b"\nPlanQK:Job:Result: 1\n"
    written = (server.spool / "done" / job / "stdout.log").read_bytes()
    assert hashlib.sha256(written).digest() == hashlib.sha256(expected).digest()


def test_the_service_s_environment_reaches_it(script):
    server = script('echo PlanQK:Job:Result: \\"$MODE\\"', '[environment]\nMODE = "fast"')
    assert server.result(server.submit()) == "fast"


# ---------------------------------------------------------------------- cancel and timeout


@pytest.mark.parametrize("stubborn", [True, False])
def test_a_running_job_is_cancelled_and_nothing_of_it_is_left(script, runtime, stubborn):
    ignore = "trap '' TERM;" if stubborn else ""
    server = script(ignore + RESTLESS, "", "--grace", "1")
    job = server.submit()
    eventually(lambda: server.ask("GET", f"/{job}/interim-results").json, "its start")
    server.ask("PUT", f"/{job}/cancel")
    assert server.ended(job)["status"] == "CANCELLED"
    assert server.ask("GET", f"/{job}/result").status == 404
    eventually(lambda: not left_behind(runtime, server), "an empty engine")


def test_a_job_that_takes_too_long_is_ended(script, runtime):
    server = script("sleep 600", "timeout = 1.5", "--grace", "0.5")
    job = server.submit()
    assert server.result(job)["code"] == "TIMEOUT"
    eventually(lambda: not left_behind(runtime, server), "an empty engine")


def test_a_job_that_has_just_been_submitted_may_be_cancelled_at_any_moment(script, runtime):
    server = script("sleep 600", "", "--grace", "0.1")
    jobs = []
    for number in range(6):
        jobs.append(server.submit())
        time.sleep(number * 0.06)  # another moment for each
        server.ask("PUT", f"/{jobs[-1]}/cancel")
    assert {server.ended(job)["status"] for job in jobs} == {"CANCELLED"}
    eventually(lambda: not left_behind(runtime, server), "an empty engine")


# ---------------------------------------------------------------------- jobs outlive the engine


def test_a_running_job_survives_kill_9_and_is_finished_by_the_next_engine(script, runtime):
    text = "echo PlanQK:Job:InterimResult: 1; sleep 3; echo PlanQK:Job:InterimResult: 2; exit 5"
    first = script(text)
    job = first.submit()
    eventually(lambda: first.ask("GET", f"/{job}/interim-results").json, "its start")
    first.kill()
    second = script(text)
    assert second.ask("GET", f"/{job}").json["status"] == "RUNNING"
    assert second.result(job)["code"] == "EXIT_5"
    assert second.ask("GET", f"/{job}/interim-results").json == [1, 2]
    assert len(second.status(job)["attempts"]) == 1
    eventually(lambda: not left_behind(runtime, second), "an empty engine")


def test_a_job_that_ended_while_no_engine_ran_is_finished_with_its_whole_log(script, runtime):
    text = "echo PlanQK:Job:InterimResult: 1; sleep 1; seq 1 100000; echo PlanQK:Job:Result: 7; exit 0"
    first = script(text)
    job = first.submit()
    eventually(lambda: first.ask("GET", f"/{job}/interim-results").json, "its start")
    first.kill()
    eventually(lambda: program_ended(runtime, first, job), "the end of the program")
    second = script(text)
    assert second.result(job) == 7
    assert (second.spool / "done" / job / "stdout.log").read_bytes().count(b"\n") == 100_002


@pytest.mark.timeout(60 + KILLS * 20)
def test_the_engine_may_be_killed_again_and_again(script, runtime, tmp_path):
    """Every exit code is right, every log whole, nothing has run twice, and nothing is left."""
    text = "seq 1 2000; sleep 0.7; seq 2001 4000; echo PlanQK:Job:Result: $(cat $INPUT/data.json); exit 0"
    whole = "".join(f"{number}\n" for number in range(1, 4001))
    jobs: dict[str, int] = {}
    for number in range(KILLS):
        server = script(text, "", "--jobs", "4")
        for each in range(2):
            jobs[server.submit({"n": number * 2 + each})] = number * 2 + each
        time.sleep(0.1 + (number % 7) * 0.15)  # another moment for each
        server.kill()
    server = script(text, "", "--jobs", "4")
    for job, number in jobs.items():
        assert server.result(job) == {"n": number}
        log = (server.spool / "done" / job / "stdout.log").read_text()
        assert log == whole + f'PlanQK:Job:Result: {{"n":{number}}}\n'.replace(
            '{"n":', '{"n":' if runtime == "python" else '{"n": '
        )
        told = server.status(job)
        assert [(each["reason"], each["code"]) for each in told["attempts"]] == [("ended", 0)], told
    eventually(lambda: not left_behind(runtime, server), "an empty engine")
    assert Path(server.spool, "run").exists()
    assert list((server.spool / "run").iterdir()) == []
