"""The command line never gives a wrong answer: what it can't say is an error with an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.command import assert_one_clear_line, treadle
from tests.acceptance.server import EXAMPLES, TREADLE, eventually
from treadle_spool import Spool

SUM = ["--service", "sum", "--data", '{"values": [20, 22]}']
SLOW = ["--service", "interim", "--data", '{"values": [1, 2]}', "--params", '{"delay": 60}']
BY_ID = ["status", "wait", "result", "interim", "cancel"]


@pytest.fixture(scope="module")
def server(module_server):
    return module_server("--services", EXAMPLES)


@pytest.fixture
def spool(server) -> list[object]:
    return ["--spool", server.spool]


@pytest.fixture(params=["url", "spool"])
def where(request, server) -> list[object]:
    """The options of both backends: a server's URL, and a spool's folder."""
    return ["--url", server.url] if request.param == "url" else ["--spool", server.spool]


@pytest.fixture
def name() -> str:
    """A name that no job has."""
    return f"job-{time.time_ns()}"


@pytest.fixture
def slow_job(server) -> Iterator[str]:
    """A job that runs for a minute, unless it is cancelled."""
    job = treadle("submit", "--url", server.url, *SLOW).stdout.strip()
    yield job
    treadle("cancel", job, "--url", server.url, "--service", "interim")


@contextmanager
def started(*arguments: object, **streams: int) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; it is killed at the end if it is alive."""
    with subprocess.Popen(
        [str(TREADLE), *map(str, arguments)],
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("options", [[], ["--wait"]], ids=str)
def test_a_name_in_use_is_an_error_and_not_the_old_result(spool, name, options):
    assert treadle("submit", *spool, *SUM, "--name", name, "--wait").returncode == 0
    again = treadle("submit", *spool, "--service", "sum", "--data", "{}", "--name", name, *options)
    assert_one_clear_line(again, f"a job named '{name}' exists already")


def test_a_name_of_a_job_that_runs_is_in_use(server, slow_job, spool):
    assert_one_clear_line(treadle("submit", *spool, *SUM, "--name", slow_job), "exists already")
    assert json.loads(treadle("status", slow_job, *spool, "--json").stdout)["service"] == "interim"


def test_a_file_that_waits_under_the_name_is_not_replaced(serve):
    server = serve(EXAMPLES / "sum")
    server.stop()
    spool = ["--spool", server.spool]
    assert treadle("submit", *spool, *SUM, "--name", "one").returncode == 0
    before = (server.spool / "drop" / "one.json").read_bytes()
    again = treadle("submit", *spool, "--service", "sum", "--data", '{"values": [9]}', "--name", "one")
    assert_one_clear_line(again, "waits in drop/ already")
    assert (server.spool / "drop" / "one.json").read_bytes() == before
    assert [each.name for each in (server.spool / "drop").iterdir()] == ["one.json"]


def test_of_many_submitters_of_one_name_exactly_one_succeeds(server, name):
    arguments = ["submit", "--spool", server.spool, "--service", "sum", "--name", name, "--wait"]
    values = range(6)
    ran: dict[int, subprocess.CompletedProcess[str]] = {}

    def submit(value: int) -> None:
        ran[value] = treadle(*arguments, "--data", json.dumps({"values": [value]}))

    threads = [threading.Thread(target=submit, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [value for value in values if ran[value].returncode == 0]
    assert json.loads(ran[winner].stdout)["result"] == {"sum": winner}
    assert all(ran[value].stdout == "" for value in values if value != winner)


def test_an_old_refusal_of_the_same_name_is_not_taken_for_this_one(server, spool, name):
    server.drop(f"{name}.json", b'{"service": "nope"}')
    eventually((server.spool / "bad" / f"{name}.json.reason.json").exists, "the refusal")
    ran = treadle("submit", *spool, *SUM, "--name", name, "--wait")
    assert (ran.returncode, json.loads(ran.stdout)["result"]) == (0, {"sum": 42}), ran.stderr
    refused = treadle("submit", *spool, "--service", "nope", "--name", f"{name}-2")
    assert_one_clear_line(refused, "the job was refused")


def test_the_result_of_a_job_is_reported_by_the_exit_code(where, slow_job):
    failing = [*where, "--service", "failing"]
    failed = treadle("submit", *failing, "--wait")
    job = failed.stderr.splitlines()[0].removeprefix("job ")
    asked = treadle("result", job, *failing)
    assert failed.returncode == asked.returncode == 1
    assert json.loads(asked.stdout) == json.loads(failed.stdout)
    assert {"code", "detail"} <= set(json.loads(asked.stdout))
    interim = [*where, "--service", "interim"]
    running = treadle("result", slow_job, *interim)
    assert (running.returncode, running.stdout) == (2, "")
    treadle("cancel", slow_job, *interim)
    treadle("wait", slow_job, *interim)
    assert_one_clear_line(treadle("result", slow_job, *interim), "it is CANCELLED")


def test_who_waits_for_a_job_is_told_its_id(where):
    ran = treadle("submit", *where, *SUM, "--wait")
    job = ran.stderr.strip().removeprefix("job ")
    assert treadle("result", job, *where, "--service", "sum").stdout == ran.stdout


def test_who_waits_without_an_engine_waits_for_one(serve):
    server = serve(EXAMPLES / "sum")
    server.stop()
    with started("submit", "--spool", server.spool, *SUM, "--wait") as waiting:
        assert waiting.stderr is not None
        assert "no engine is running" in waiting.stderr.readline()
        (file,) = (server.spool / "drop").glob("*.json")
        for command in BY_ID:
            if command != "wait":
                ran = treadle(command, file.stem, "--spool", server.spool)
                assert_one_clear_line(ran, "still in drop/")
        limited = treadle("wait", file.stem, "--spool", server.spool, "--timeout", "0.1")
        assert (limited.returncode, limited.stdout) == (2, "")
        serve(EXAMPLES / "sum")
        out, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, json.loads(out)["result"]) == (0, {"sum": 42})


def test_a_list_holds_the_jobs_of_one_service_if_one_is_named(server, spool):
    treadle("submit", *spool, *SUM, "--wait")
    treadle("submit", *spool, "--service", "failing", "--wait")
    for arguments, environment in (
        (["--service", "failing"], {}),
        ([], {"TREADLE_SERVICE": "failing"}),
    ):
        listed = json.loads(treadle("list", *spool, *arguments, "--json", **environment).stdout)
        assert {each["service"] for each in listed} == {"failing"}
    listed = json.loads(treadle("list", *spool, "--json").stdout)
    assert {"sum", "failing"} <= {each["service"] for each in listed}


def test_a_job_of_another_service_is_unknown(where):
    job = treadle("submit", *where, *SUM).stdout.strip()
    assert_one_clear_line(treadle("status", job, *where, "--service", "failing"), "of service 'failing'")


def test_a_job_whose_files_are_damaged_does_not_end_the_list(serve):
    server = serve(EXAMPLES / "sum")
    spool = ["--spool", server.spool]
    job = treadle("submit", *spool, *SUM, "--wait").stderr.strip().removeprefix("job ")
    (server.spool / "done" / "broken").mkdir()
    (server.spool / "done" / "broken" / "status.json").write_text("{")
    (server.spool / "done" / ".stray").mkdir()
    ran = treadle("list", *spool, "--json")
    assert {each["id"]: each["status"] for each in json.loads(ran.stdout)} == {
        job: "SUCCEEDED",
        "broken": "UNKNOWN",
    }
    assert "job broken can't be read" in ran.stderr


def test_a_beginning_that_no_other_id_has_stands_for_the_id(server, where, name):
    for number in ("1", "12"):
        arguments = ["--spool", server.spool, *SUM, "--name", f"{name}-{number}"]
        assert treadle("submit", *arguments, "--wait").returncode == 0
    for beginning, whole in ((f"{name}-12"[:-1], f"{name}-1"), (f"{name}-12", f"{name}-12")):
        shown = treadle("status", beginning, *where, "--service", "sum", "--json")
        assert json.loads(shown.stdout)["id"] == whole
    both = f"{name}-1, {name}-12"
    assert_one_clear_line(treadle("result", name, *where, "--service", "sum"), both)
    job = treadle("submit", *where, *SUM, "--wait").stderr.strip().removeprefix("job ")
    for command in BY_ID:
        ran = treadle(command, job[:-1], *where, "--service", "sum")
        assert (ran.returncode, ran.stderr) == (0, ""), command


def test_no_id_is_cut_in_a_narrow_terminal(server, spool):
    long = f"{'long-' * 20}{time.time_ns()}"
    assert treadle("submit", *spool, *SUM, "--name", long, "--wait").returncode == 0
    read, write = os.openpty()
    command = [str(TREADLE), "list", "--spool", str(server.spool)]
    process = subprocess.Popen(command, stdout=write, env={**os.environ, "COLUMNS": "40", "TERM": "xterm"})
    os.close(write)
    shown = b""
    try:
        while chunk := os.read(read, 65536):
            shown += chunk
    except OSError:  # the other side of the terminal is closed
        pass
    os.close(read)
    assert process.wait(30) == 0
    assert long in shown.decode()


def test_a_log_is_followed_to_its_end_without_a_complaint(server, spool):
    job = treadle("submit", *spool, *SLOW[:-1], '{"delay": 0.2}').stdout.strip()
    followed = treadle("logs", "-f", job, *spool)
    assert (followed.returncode, followed.stderr) == (0, "")
    assert followed.stdout.count("PlanQK:Job:InterimResult") >= 2


def test_a_log_is_followed_no_longer_than_somebody_reads_it(slow_job, spool):
    with started("logs", "-f", slow_job, *spool) as following:
        assert following.stdout is not None
        following.stdout.close()
        assert following.wait(30) == 141
        assert following.stderr is not None
        assert following.stderr.read() == ""


@pytest.mark.parametrize("command", [*BY_ID, "submit", "list", "logs", "plugins", "doctor", "--help", "gc"])
def test_what_can_t_be_written_is_an_error(server, spool, name, command):
    job = treadle("submit", *spool, *SUM, "--name", name, "--wait").stderr.strip().removeprefix("job ")
    first = {"submit": [*SUM, *spool], "list": spool, "gc": ["--jobs", "0", "--dry-run", *spool]}
    arguments = first.get(command, [] if command in {"plugins", "doctor", "--help"} else [job, *spool])
    if command == "logs":
        job = treadle("submit", *spool, *SLOW[:-1], '{"delay": 0}').stdout.strip()
        treadle("wait", job, *spool)
        arguments = [job, *spool]
    with Path("/dev/full").open("w") as full, started(command, *arguments, stdout=full.fileno()) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Error: standard output can't be written: No space left on device" in errors
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_a_reader_that_has_gone_is_told_by_the_exit_code_alone(server, spool):
    read, write = os.pipe()
    os.close(read)
    with started("list", *spool, stdout=write) as process:
        os.close(write)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")


@pytest.mark.parametrize(
    "redirection", [">&-", ">&- 2>&-", "<&- >&-", "2>&- >/dev/full", "2>/dev/full >/dev/full"]
)
def test_a_closed_output_is_an_error(server, redirection):
    command = f'exec "$0" list --spool "$1" {redirection}'
    ran = subprocess.run(
        ["sh", "-c", command, str(TREADLE), str(server.spool)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr


def test_input_that_is_closed_is_an_error(server):
    command = 'exec "$0" submit --url "$1" --service sum --data @- <&-'
    ran = subprocess.run(
        ["sh", "-c", command, str(TREADLE), server.url], capture_output=True, text=True, check=False
    )
    assert_one_clear_line(ran, "--data")


def test_an_interrupt_while_a_job_waits_for_an_engine_tells_its_id(tmp_path):
    spool = Spool.open(tmp_path / "spool")
    with started("submit", "--spool", spool.root, *SUM, "--wait") as process:
        (waiting,) = eventually(lambda: list(spool.drop.glob("*.json")), "the job's file")
        eventually(lambda: _sleeps(process.pid), "the command to wait")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"job {waiting.stem} waits in drop/" in errors
    assert waiting.exists()


def test_an_interrupt_ends_a_command_and_not_the_job(server, slow_job, spool):
    service = ["--service", "interim"]
    commands = [
        ["wait", slow_job, *spool],
        ["wait", slow_job, "--url", server.url, *service],
        ["logs", "-f", slow_job, *spool],
        ["submit", *spool, *SLOW, "--wait"],
    ]
    for command in commands:
        with started(*command) as process:
            eventually(lambda: _sleeps(process.pid), "the command to wait")  # called at once
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in errors
        if command[0] == "submit":
            job = errors.splitlines()[0].removeprefix("job ")
            assert f"job {job} goes on" in errors
            assert json.loads(treadle("status", job, *spool, "--json").stdout)["endedAt"] is None
            treadle("cancel", job, *spool)


def _sleeps(pid: int) -> bool:
    """Whether a process has done its imports and waits: it spends no more time on the CPU."""
    times = []
    for _ in range(3):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        times.append((fields[0], fields[11]))
        time.sleep(0.05)
    return {state for state, _ in times} == {"S"} and int(times[-1][1]) - int(times[0][1]) <= 1
