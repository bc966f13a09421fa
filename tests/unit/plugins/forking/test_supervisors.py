"""The supervisors of a fork server: they take one job after the other, and end when there is none."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.unit.plugins.forking.processes import FORKED, GATED, supervisor_of
from tests.unit.plugins.on_host import PythonOnHost
from treadle.testing import until


async def test_a_supervisor_takes_one_job_after_the_other_and_goes_when_there_is_none(supervise):
    first = await supervise()
    await until(first.children)  # the preforked process that waits for its request
    files = first.num_fds()
    assert [await supervise() for _ in range(5)] == [first] * 5
    await until(lambda: first.num_fds() == files)
    await until(lambda: not first.is_running())  # two times 0.2 s without a job
    assert await supervise() != first


async def test_a_supervisor_says_who_it_is_though_the_jobs_before_are_removed(run, runtime, supervise):
    first = await supervise()
    for folder in run.folder.iterdir():
        shutil.rmtree(folder)
    assert await supervise() == await supervise() == first
    one, other = (folder / "process.json" for folder in run.folder.iterdir())
    assert one.samefile(other)
    assert list(run.folder.rglob(".process*")) == []


async def test_jobs_that_run_together_have_supervisors_of_their_own(run, runtime, tmp_path):
    os.mkfifo(tmp_path / "gate")
    attempts = [run.attempt(GATED, {"GATE": str(tmp_path / "gate")}) for _ in range(3)]
    for attempt in attempts:
        await runtime.start(attempt)
    assert len({supervisor_of(attempt) for attempt in attempts}) == 3
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    for attempt in attempts:
        assert (await runtime.wait(attempt)).code == 0
    os.close(gate)


async def test_a_supervisor_goes_with_its_engine_when_its_job_has_ended(run, project, tmp_path):
    os.mkfifo(tmp_path / "gate")
    engine, next_engine = [PythonOnHost("namespace", idle=0.2) for _ in range(2)]
    attempt = run.attempt(GATED, {"GATE": str(tmp_path / "gate")})
    await engine.start(attempt)
    supervisor = psutil.Process(supervisor_of(attempt))
    await engine.close()
    await next_engine.start(attempt)
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    assert (await next_engine.wait(attempt)).code == 0
    os.close(gate)
    await until(lambda: not supervisor.is_running())


async def test_a_free_supervisor_that_is_killed_is_replaced(supervise):
    first = await supervise()
    first.kill()
    await until(lambda: not first.is_running())
    assert await supervise() != first


async def test_a_preforked_process_that_is_killed_is_replaced(supervise):
    first = await supervise()
    for _ in range(3):
        await until(first.children)
        (waiting,) = first.children()
        waiting.kill()
        await until(lambda: waiting.status() == psutil.STATUS_ZOMBIE)  # noqa: B023  # it is awaited at once
        assert await supervise() == first
    await until(lambda: len(first.children()) == 1)  # none is left over


async def test_a_signal_that_comes_too_late_means_nothing_to_the_next_job(supervise):
    first = await supervise()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        first.send_signal(number)
        assert await supervise() == first


async def test_stopping_what_has_ended_leaves_the_supervisor_s_next_job_alone(run, runtime, tmp_path):
    ended = run.attempt("def run():\n    return 1\n")
    await runtime.start(ended)
    await runtime.wait(ended)
    running = run.attempt(GATED, {"GATE": str(tmp_path / "gate")})
    os.mkfifo(tmp_path / "gate")
    same = run.attempt("def run():\n    return 1\n", {"GATE": str(tmp_path / "gate")})
    await runtime.start(same)
    await runtime.wait(same)
    await runtime.start(running)
    assert supervisor_of(running) == supervisor_of(same)
    await runtime.stop(same, 0.1)
    await runtime.stop(ended, 0.1)
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    assert (await runtime.wait(running)).code == 0
    os.close(gate)


def drop_administration() -> None:
    """Drop CAP_SYS_ADMIN from the next exec on, because an ordinary user does not have it."""
    pr_capbset_drop, cap_sys_admin = 24, 21
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_sys_admin, 0, 0, 0)


def test_jobs_are_forked_without_root_s_rights_too(project, tmp_path):
    unshare = ["unshare", "--user", "--pid", "--fork", "true"]
    if subprocess.run(unshare, preexec_fn=drop_administration, check=False).returncode != 0:
        pytest.skip("this host permits no namespaces to ordinary users")
    (project / "src" / "program.py").write_text(FORKED)
    command = [sys.executable, "-m", "tests.unit.plugins.run_one", str(tmp_path), str(project)]
    ran = subprocess.run(command, preexec_fn=drop_administration, capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"true", b"")
    assert (
        json.loads((tmp_path / "spool" / "run" / "job" / "process.json").read_bytes())["kind"] == "namespace"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        "pass",
        "open('file', 'w').close()",
        "os.makedirs('folder/in/folder')",
        "os.symlink('/etc', 'link')",
        "os.chmod('.', 0o777)",
        "os.rmdir(os.getcwd())",
        "os.rename(os.getcwd(), os.getcwd() + '-moved')",
        "os.mkdir('folder'), os.chmod('.', 0)",
    ],
)
async def test_each_job_finds_its_working_folder_empty_and_as_it_was_made(run, supervise, spoil):
    first = await supervise()
    await run(f"import os\ndef run():\n    {spoil}\n    return 1\n")
    program = "import os\ndef run():\n    return [os.listdir(), os.getcwd(), oct(os.stat('.').st_mode)]\n"
    files, folder, mode = await run(program)
    assert (files, mode) == ([], "0o40700")
    assert Path(folder).name == f"{first.pid}-work"


async def test_a_supervisor_that_goes_takes_its_folders_with_it(run, supervise, runtime):
    await supervise()
    folders = [*(run.folder.parent / "tmp").iterdir()]
    assert sorted(each.name.partition("-")[2] for each in folders) == ["tmp", "work"]
    await runtime.close()
    await until(lambda: not any(each.exists() for each in folders))


async def test_what_a_job_leaves_running_does_not_meet_the_next_one(run):
    leave = (
        "import os, time\n"
        "def run():\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        time.sleep(60)\n"
        "    return 1\n"
    )
    look = "import os\ndef run():\n    return [name for name in os.listdir('/proc') if name.isdigit()]\n"
    assert await run(leave) == 1
    found = await run(look)
    assert len(found) == 2
    assert found[0] == "1"
