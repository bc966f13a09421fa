"""Whatever a program does to its own folder, the engine lives, the job ends, and no other file is shown."""

from __future__ import annotations

import os
import stat
import time

import pytest

from tests.acceptance.health_probe import HealthProbe
from tests.acceptance.hostile import PROGRAMS, SECRET, Hostile
from tests.acceptance.server import eventually

P99 = float(os.environ.get("TREADLE_HEALTH_P99", "1.0"))
"""Seconds in which 99 of 100 health requests are answered; 0.05 on an otherwise idle host."""
FILES = (
    "stdout.log",
    "stderr.log",
    "interim.jsonl",
    "attempt.json",
    "job.json",
    "process.json",
    "returned.json",
    "error.json",
    "result.json",
    "status.json",
)
KINDS = ("fifo", "socket", "folder", "locked", "zeros", "itself", "secret", "hard", "sparse", "garbage")
FOLDERS = {
    "removed": "shutil.rmtree(folder)",
    "renamed": "folder.rename(spool / 'tmp' / ('1-' + folder.name))",
    "a link to where it went": "away = spool / 'tmp' / ('1-' + folder.name); folder.rename(away); "
    "folder.symlink_to(away)",
    "a link to itself": "shutil.rmtree(folder); folder.symlink_to(folder)",
    "a link to a secret place": "shutil.rmtree(folder); folder.symlink_to(secret.parent)",
    "a file": "shutil.rmtree(folder); folder.touch()",
    "a fifo": "shutil.rmtree(folder); os.mkfifo(folder)",
    "an empty folder": "shutil.rmtree(folder); folder.mkdir()",
    "without permissions": "folder.chmod(0)",
    "deep": "os.chdir(folder)\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nos.chdir('/')",
    "crowded": "for number in range(5000):\n    os.mkfifo(folder / str(number))",
}
"""What a program does to its folder as a whole."""
EXITS = (
    "exit-code-0-1",
    "exit-code-0-99999999999999999999",
    "exit-code-0-999999999999999999",
    "exit-code-99999999999-1",
    "exit-signal-40-1700000000000",
    "exit-code-0-1-returned",
    "exit-code-\u0664-1",
)


@pytest.fixture(scope="module", params=PROGRAMS)
def hostile(request, module_server, tmp_path_factory):
    hostile = Hostile(module_server, tmp_path_factory.mktemp(request.param), request.param)
    yield hostile
    hostile.clear()


def check_nothing_is_lost(hostile, probe=None):
    eventually(hostile.all_free, "free slots")
    assert hostile.secret.read_text() == SECRET
    assert list((hostile.server.spool / "run").iterdir()) == []
    assert list((hostile.server.spool / "queue").iterdir()) == []
    if probe is not None:
        assert probe.statuses == {200}
        assert probe.p99 < P99


@pytest.mark.parametrize("name", FILES)
def test_whatever_stands_in_the_place_of_a_file_the_job_ends_and_nothing_else_is_shown(hostile, name):
    with HealthProbe(hostile.server.url) as probe:
        jobs = {kind: hostile.submit(f"replace({name!r}, {kind!r})", 0.3) for kind in KINDS}
        ends = {kind: hostile.ended(job) for kind, job in jobs.items()}
    assert set(ends.values()) <= {"SUCCEEDED", "FAILED"}
    for kind, job in jobs.items():
        assert SECRET.encode() not in hostile.shown(job), kind
        done = hostile.server.spool / "done" / job.id
        for each in ("job.json", "status.json", "result.json"):
            assert stat.S_ISREG((done / each).lstat().st_mode), (kind, each)
    check_nothing_is_lost(hostile, probe)


@pytest.mark.parametrize("name", FILES)
def test_whatever_stands_in_the_place_of_a_file_the_job_is_cancelled_in_time(hostile, name):
    for kind in KINDS:
        job = hostile.submit(f"print('first', flush=True)\nreplace({name!r}, {kind!r})", 600)
        assert job.lives()
        assert hostile.status(job) == "RUNNING"
        assert hostile.cancel(job) < hostile.grace + 1, kind
        assert job.is_gone(), kind
        assert hostile.server.ask("GET", f"/{job.id}/result").status == 404, kind
    check_nothing_is_lost(hostile)


@pytest.mark.parametrize("what", FOLDERS)
def test_whatever_becomes_of_its_folder_the_job_ends(hostile, what):
    with HealthProbe(hostile.server.url) as probe:
        short = hostile.submit(FOLDERS[what], 0.3)
        late = hostile.submit(FOLDERS[what], 600, timeout=4)
        job = hostile.submit(FOLDERS[what], 600)
        assert job.lives()
        assert hostile.cancel(job) < hostile.grace + 1
        assert job.is_gone()
        assert hostile.ended(short) in {"SUCCEEDED", "FAILED"}
        assert hostile.ended(late) == "FAILED"
    assert hostile.result(late)["code"] == "TIMEOUT"
    assert late.is_gone()
    if what not in {"an empty folder", "without permissions", "deep", "crowded"}:
        assert hostile.result(short)["code"] == "FOLDER_DESTROYED"
    for each in (short, late, job):
        assert SECRET.encode() not in hostile.shown(each)
    check_nothing_is_lost(hostile, probe)


@pytest.mark.parametrize("name", EXITS)
def test_a_program_that_writes_an_exit_of_its_own_is_stopped_all_the_same(hostile, name):
    deed = f"(folder / {name!r}).touch()"
    late = hostile.submit(deed, 600, timeout=1.5)
    job = hostile.submit(deed, 600)
    assert job.lives()
    assert hostile.cancel(job) < hostile.grace + 1
    assert job.is_gone()
    hostile.ended(late)
    assert hostile.result(late)["code"] == "TIMEOUT"
    assert late.is_gone()
    check_nothing_is_lost(hostile)


@pytest.mark.parametrize("kind", ["fifo", "zeros", "secret", "hard"])
def test_a_log_that_is_none_is_not_printed(hostile, kind):
    job = hostile.submit(f"replace('stdout.log', {kind!r})", 600)
    assert job.lives()
    assert hostile.logs(job) == b""
    hostile.cancel(job)
    assert hostile.logs(job) == b""
    check_nothing_is_lost(hostile)


def test_a_program_that_stops_its_supervisor_is_cancelled_in_time(hostile):
    job = hostile.submit("os.kill(os.getppid(), signal.SIGSTOP)", 600)
    assert job.lives()
    assert hostile.cancel(job) < hostile.grace + 1
    assert job.is_gone()
    check_nothing_is_lost(hostile)


def test_a_program_that_kills_its_supervisor_is_gone_when_its_job_has_ended(hostile):
    job = hostile.submit("os.kill(os.getppid(), signal.SIGKILL)", 600)
    hostile.ended(job)
    assert hostile.result(job)["code"] == "LOST"
    assert job.is_gone()
    check_nothing_is_lost(hostile)


def test_a_listener_to_a_job_whose_folder_is_a_link_delays_nobody(hostile):
    job = hostile.submit(FOLDERS["a link to where it went"], 2)
    assert job.lives()
    with HealthProbe(hostile.server.url) as probe:
        events = hostile.server.ask("GET", f"/{job.id}/events")
    assert (events.status, SECRET.encode() in events.body) == (200, False)
    hostile.ended(job)
    check_nothing_is_lost(hostile, probe)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.timeout(300)
def test_the_next_engine_ends_all_of_them(serve, tmp_path, request, program):
    deeds = [f"replace({name!r}, {kind!r})" for name in FILES for kind in KINDS]
    deeds += [*FOLDERS.values(), *(f"(folder / {name!r}).touch()" for name in EXITS)]
    deeds.append("(folder / 'job.json').write_bytes(b'{')")
    deeds.append("(folder / 'job.json').write_bytes(b''); (folder / 'attempt.json').write_bytes(b'')")
    hostile = Hostile(serve, tmp_path, program, jobs=len(deeds) + 1)
    request.addfinalizer(hostile.clear)
    jobs = {deed: hostile.submit(deed, 600) for deed in deeds}
    for job in jobs.values():
        assert job.lives()
    hostile.server.kill()
    begun = time.monotonic()
    hostile.start()
    assert time.monotonic() - begun < 20
    with HealthProbe(hostile.server.url) as probe:
        for job in jobs.values():
            assert hostile.status(job)
            hostile.server.ask("PUT", f"/{job.id}/cancel")
        for job in jobs.values():
            hostile.ended(job)
        check_nothing_is_lost(hostile)
    assert probe.statuses == {200}
    assert [deed for deed, job in jobs.items() if not job.is_gone()] == []
    for job in jobs.values():
        assert SECRET.encode() not in hostile.server.ask("GET", f"/{job.id}/result").body
