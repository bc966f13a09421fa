"""Containers: what they may do, where their images come from, and what goes wrong with them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.acceptance.scripts import script_project
from tests.acceptance.server import TREADLE, eventually
from tests.engines import CONTAINERS, limits, need, need_limits
from tests.images import IMAGE, client

RESTARTS = int(os.environ.get("TREADLE_RESTARTS", "2"))
"""How often Podman's service is restarted under its running jobs."""


@pytest.fixture
def script(engine, serve, tmp_path):
    """Serve a shell script as a container."""

    def start(text: str, toml: str = "", *arguments: str, name: str = "script"):
        return serve(script_project(tmp_path / name, engine, text, toml), *arguments)

    return start


def stdout(server, job) -> str:
    server.ended(job)
    return (server.spool / "done" / job / "stdout.log").read_text()


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [TREADLE, "build", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# ---------------------------------------------------------------------- least privilege


LOOK = """
id -u; id -g
grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
ls /sys/class/net
touch /var/here 2>/dev/null || echo root is read-only
touch /var/input/x 2>/dev/null || echo input is read-only
touch /tmp/here && echo tmp is writable
"""


def test_by_default_a_container_may_do_little(script):
    server = script(LOOK)
    job = server.submit()
    lines = stdout(server, job).split("\n")
    assert lines[:2] == ["65534", "65534"]
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines
    assert "Seccomp:\t2" in lines
    assert {"root is read-only", "input is read-only", "tmp is writable"} <= set(lines)
    assert [line for line in lines if line.startswith(("eth", "tap", "veth"))] == []
    limits = server.status(job)["attempts"][0]["limits"]
    assert (limits["network"], limits["writable_root"], limits["pids"]) == ("none", False, 1024)


def test_a_service_may_widen_each_on_purpose(script):
    toml = 'user = "0:0"\nwritable_root = true\nnew_privileges = true\ncapabilities = ["NET_BIND_SERVICE"]'
    server = script(LOOK, toml)
    job = server.submit()
    lines = stdout(server, job).split("\n")
    assert lines[0] == "0"
    assert "CapEff:\t0000000000000400" in lines
    assert "NoNewPrivs:\t0" in lines
    assert "root is read-only" not in lines
    assert server.status(job)["attempts"][0]["limits"]["user"] == "0:0"


def test_planqk_json_s_resources_are_the_limits(script, tmp_path, serve, engine):
    need_limits(engine)
    text = """
    cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
    cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes 2>/dev/null
    cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null
    """
    folder = script_project(tmp_path / "limited", engine, text)
    (folder / "planqk.json").write_text('{"resources": {"cpu": 0.5, "memory": 0.1}}')
    server = serve(folder)
    job = server.submit()
    found = stdout(server, job).split()
    assert abs(int(found[0]) - 100_000_000) < 4096
    limits = server.status(job)["attempts"][0]["limits"]
    assert (limits["cpus"], limits["memory"]) == (0.5, 0.1)
    if len(found) > 2:  # control groups of the first version
        assert found[1] == found[0]
        assert found[2] == "50000"


# ---------------------------------------------------------------------- programs that misbehave


def test_a_program_beyond_its_memory_is_reported_as_such(script, engine):
    need_limits(engine)
    server = script("exec tail /dev/zero", "memory = 0.05")
    job = server.submit()
    result = server.result(job)
    assert result["code"] == "OUT_OF_MEMORY", result
    assert "0.05 GB" in result["detail"]
    assert server.status(job)["attempts"][0]["reason"] == "out-of-memory"


def test_a_fork_bomb_is_contained(script, engine):
    need_limits(engine)
    server = script("f() { f | f & }; f; sleep 2; echo PlanQK:Job:Result: 1", "pids = 64\ntimeout = 20")
    bomb = server.submit()
    eventually(lambda: server.ask("GET", f"/{bomb}").json["status"] == "RUNNING", "its start")
    start = time.monotonic()
    assert server.ask("GET", "/").status == 200
    assert time.monotonic() - start < 5
    assert server.ended(bomb)["status"] in {"SUCCEEDED", "FAILED"}


def test_an_endless_printer_is_ended_with_a_reason_of_its_own(script):
    server = script("yes", "output_limit = 1000000")
    job = server.submit()
    result = server.result(job)
    assert result["code"] == "OUTPUT_LIMIT"
    assert "1000000 bytes" in result["detail"]
    assert (server.spool / "done" / job / "stdout.log").stat().st_size == 1_000_000


def test_a_program_that_prints_a_little_too_much_is_cut_and_reported(script):
    server = script("seq 1 1000; echo PlanQK:Job:Result: 1", "output_limit = 100")
    job = server.submit()
    server.ended(job)
    assert (server.spool / "done" / job / "stdout.log").stat().st_size == 100
    assert "100 bytes" in server.status(job)["attempts"][0]["detail"]


# ---------------------------------------------------------------------- images


def dockerfile_project(folder: Path, engine: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f'FROM {IMAGE}\nCOPY run.sh /run.sh\nCMD ["/bin/sh", "/run.sh"]\n')
    (folder / "run.sh").write_text(f"echo PlanQK:Job:Result: {says}\n")
    (folder / "treadle.toml").write_text(f'runtime = "{engine}"\n')
    return folder


def test_an_image_is_built_anew_only_when_the_project_changed(engine, serve, tmp_path):
    folder = dockerfile_project(tmp_path / "built", engine, str(time.time_ns()))
    first = build(folder)
    assert first.returncode == 0, first.stderr
    assert "COPY run.sh" in first.stdout
    again = build(folder)
    assert again.returncode == 0
    assert "COPY" not in again.stdout
    server = serve(folder)
    before = server.result(server.submit())
    (folder / "run.sh").write_text(f"echo PlanQK:Job:Result: {time.time_ns()}\n")
    job = server.submit()
    assert server.result(job) > before
    assert "COPY run.sh" in (server.spool / "done" / job / "build.log").read_text()


def test_a_job_is_cancelled_while_its_image_is_built(engine, serve, tmp_path):
    folder = dockerfile_project(tmp_path / "slow", engine, "1")
    nap = f"600.{time.time_ns() % 10**6}"
    text = f"FROM {IMAGE}\nRUN echo begun && exec sleep {nap}\n"
    (folder / "Dockerfile").write_text(text)
    server = serve(folder)
    job = server.submit()
    progress = server.spool / "run" / job / "build.log"
    eventually(lambda: progress.exists() and "begun" in progress.read_text(), "the build")
    start = time.monotonic()
    server.ask("PUT", f"/{job}/cancel")
    assert server.ended(job)["status"] == "CANCELLED"
    assert time.monotonic() - start < 10
    eventually(lambda: not running(["sleep", nap]), "the end of the build")


def running(command: list[str]) -> bool:
    return any(each.info["cmdline"] == command for each in psutil.process_iter(["cmdline"]))


def test_a_build_that_fails_is_reported_with_what_the_engine_says(engine, serve, tmp_path):
    folder = dockerfile_project(tmp_path / "broken", engine, "1")
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY nothing /x\n")
    built = build(folder)
    assert built.returncode == 1
    assert "nothing" in built.stderr
    server = serve(folder)
    assert "nothing" in server.result(server.submit())["detail"]


def test_an_image_is_loaded_from_an_archive_beside_the_project(engine, serve, tmp_path):
    folder = script_project(tmp_path / "archived", engine, "echo PlanQK:Job:Result: 5")
    toml = (folder / "treadle.toml").read_text().replace(f'image = "{IMAGE}"\n', "")
    (folder / "treadle.toml").write_text(toml)
    archive = folder / "image.tar"
    subprocess.run([client(engine), "save", "-o", archive, IMAGE], check=True, capture_output=True)
    server = serve(folder)
    assert server.result(server.submit()) == 5


def test_a_service_whose_image_is_missing_is_broken_and_its_jobs_wait_for_the_image(engine, serve, tmp_path):
    folder = script_project(tmp_path / "missing", engine, "echo PlanQK:Job:Result: 6")
    missing = "localhost/treadle-missing:1"
    toml = (folder / "treadle.toml").read_text().replace(IMAGE, missing)
    (folder / "treadle.toml").write_text(toml)
    server = serve(folder)
    first = server.ask("POST", "/", b"{}")  # it may come before the image was looked for
    answer = eventually(
        lambda: (found := server.ask("GET", "/")).status == 503 and found, "that it is broken"
    )
    assert f"{engine} load" in answer.json["detail"]
    subprocess.run([client(engine), "tag", IMAGE, missing], check=True, capture_output=True)
    try:
        eventually(lambda: server.ask("GET", "/").status == 200, "that it is served", timeout=10)
        job = first.json["id"] if first.status == 201 else server.submit()
        assert server.result(job) == 6
    finally:
        subprocess.run([client(engine), "rmi", missing], check=True, capture_output=True)


def test_without_any_image_a_project_is_not_served(engine, serve, tmp_path):
    folder = tmp_path / "nothing"
    folder.mkdir()
    (folder / "treadle.toml").write_text(f'runtime = "{engine}"\n')
    with pytest.raises(AssertionError, match="there is no image"):
        serve(folder)


# ---------------------------------------------------------------------- errors a user can act on


@pytest.mark.parametrize(
    ("command", "code"),
    [('["/no/such/program"]', "ENTRYPOINT_NOT_FOUND"), ('["/var/input"]', "ENTRYPOINT_NOT_EXECUTABLE")],
)
def test_a_program_that_can_t_be_started_is_reported(engine, serve, tmp_path, command, code):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "treadle.toml").write_text(f'runtime = "{engine}"\nimage = "{IMAGE}"\ncommand = {command}\n')
    server = serve(folder)
    job = server.submit()
    result = server.result(job)
    assert result["code"] == code, result
    assert server.status(job)["attempts"][0]["reason"] == "not-started"


def test_an_engine_that_can_t_be_reached_is_reported_with_where_it_was_looked_for(
    engine, serve, tmp_path, monkeypatch
):
    variable = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}[engine]
    monkeypatch.setenv(variable, f"unix://{tmp_path}/nothing.sock")
    (tmp_path / "engine.toml").write_text(f"[plugins.{engine}]\npatience = 0.5\n")
    server = serve(
        script_project(tmp_path / "script", engine, "true"), "--config", str(tmp_path / "engine.toml")
    )
    result = server.result(server.submit())
    assert result["code"] == "ENGINE_UNREACHABLE"
    assert "nothing.sock" in result["detail"]
    assert variable in result["detail"]
    checked = subprocess.run([TREADLE, "doctor"], capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert "nothing.sock" in checked.stdout.replace("\n", "")


def test_the_doctor_says_which_limits_an_engine_can_t_set(engine):
    checked = subprocess.run(
        [TREADLE, "doctor"], capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "300"}
    )
    said = " ".join(line for line in checked.stdout.splitlines() if engine in line.lower())
    assert ("without limits of memory, CPUs, processes" in said) is not limits(engine), checked.stdout


def test_a_service_of_planqk_json_s_docker_runs_on_the_preferred_engine(engine, serve, tmp_path):
    folder = dockerfile_project(tmp_path / "either", engine, "1")
    (folder / "treadle.toml").unlink()
    (folder / "planqk.json").write_text('{"name": "either", "runtime": "DOCKER"}')
    server = serve(folder, "--prefer", engine)
    job = server.submit()
    assert server.result(job) == 1
    assert server.status(job)["attempts"][0]["runtime"] == engine


def test_where_one_engine_does_not_answer_the_other_is_taken(serve, tmp_path, monkeypatch):
    for each in CONTAINERS:
        need(each)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    folder = dockerfile_project(tmp_path / "either", "docker", "1")
    (folder / "treadle.toml").unlink()
    (folder / "planqk.json").write_text('{"name": "either", "runtime": "DOCKER"}')
    server = serve(folder, "--prefer", "docker")
    job = server.submit()
    assert server.result(job) == 1
    assert server.status(job)["attempts"][0]["runtime"] == "podman"


# ---------------------------------------------------------------------- Podman's service comes and goes


@pytest.mark.parametrize("delay", [0, 0.01, 0.03])
def test_a_container_whose_monitor_is_killed_while_it_starts_is_made_anew(script, delay):
    """Then it is unknown whether its program has begun: the attempt is lost, and another one is made."""
    server = script("sleep 0.2; echo PlanQK:Job:Result: 7")
    known = set(psutil.pids())
    job = server.submit()
    killed = 0
    while not killed and server.ask("GET", f"/{job}").json["status"] in {"PENDING", "RUNNING"}:
        for pid in set(psutil.pids()) - known:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.name().startswith(("conmon", "containerd-shim")):
                    time.sleep(delay)
                    process.kill()
                    killed += 1
    assert killed
    assert server.result(job) == 7
    assert [each["reason"] for each in server.status(job)["attempts"]] in (["lost", "ended"], ["ended"])


@pytest.mark.timeout(60 + RESTARTS * 20)
def test_podman_s_service_may_be_restarted_under_its_running_jobs(serve, tmp_path):
    need("podman")
    start = os.environ.get("TREADLE_PODMAN_SERVICE")
    if start is None:
        pytest.skip("TREADLE_PODMAN_SERVICE does not say how Podman's service is started")
    pid_file = Path(start).with_name("podman.pid")
    text = "seq 1 3000; sleep 1; seq 3001 6000; echo PlanQK:Job:Result: $(cat $INPUT/data.json); exit 0"
    server = serve(script_project(tmp_path / "script", "podman", text), "--jobs", "4")
    jobs = {}
    for number in range(RESTARTS):
        for each in range(2):
            jobs[server.submit({"n": number * 2 + each})] = number * 2 + each
        time.sleep(0.1 + (number % 5) * 0.2)  # another moment for each
        os.kill(int(pid_file.read_text()), signal.SIGKILL if number % 2 else signal.SIGTERM)
        time.sleep(0.2)  # so long there is no service
        subprocess.run([start], check=True)
    for job, number in jobs.items():
        assert server.result(job) == {"n": number}
        log = (server.spool / "done" / job / "stdout.log").read_text()
        assert log.startswith("".join(f"{line}\n" for line in range(1, 6001)))
        # A service that is killed in the middle of a start may lose an attempt, and then it is made again.
        *lost, last = [each["reason"] for each in server.status(job)["attempts"]]
        assert (last, set(lost) <= {"lost"}) == ("ended", True)
