"""Ends that no engine takes: their supervisor brings them to the disk, and stays out of everybody's way."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.unit.plugins.forking.processes import GATED, supervisor_of
from tests.unit.plugins.on_host import PythonOnHost
from treadle import Attempt
from treadle.testing import until
from treadle_python.treadle_inside import durable_ends
from treadle_python.treadle_inside.durable_ends import DurableEnds, make_durable

RETURN = "def run():\n    print('said')\n    return 1\n"


def names(attempt: Attempt) -> list[str]:
    return sorted(path.name for path in attempt.folder.glob("exit-*"))


def is_durable(attempt: Attempt) -> bool:
    return bool(list(attempt.folder.glob("exit-*-synced")))


def has_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@contextmanager
def slow_syncs(pid: int):
    """Have each fsync of a process, and of its threads, take three seconds."""
    inject = "inject=fsync:delay_enter=3000000"
    command = ["strace", "--follow-forks", "-o", "/dev/null", "-e", "trace=fsync", "-e", inject]
    with subprocess.Popen([*command, f"--attach={pid}"], stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        yield
        tracer.terminate()


def publish(attempt: Attempt) -> None:
    """Take the end as an engine does: move the folder away."""
    attempt.folder.rename(attempt.folder.with_name(f"{attempt.folder.name}-done"))


@pytest.mark.parametrize("start", ["fork", "spawn"])
async def test_an_end_that_no_engine_takes_is_made_durable_though_one_is_connected(run, runtime, start):
    attempt = run.attempt(RETURN, start=start)
    await runtime.start(attempt)
    assert (await runtime.wait(attempt)).returned is not None
    assert not is_durable(attempt)
    await until(lambda: is_durable(attempt))
    plain, synced = names(attempt)
    assert synced == f"{plain}-synced"


@pytest.mark.parametrize("start", ["fork", "spawn"])
async def test_an_end_whose_engine_has_gone_is_made_durable_and_then_the_supervisor_goes(
    run, runtime, start, tmp_path
):
    os.mkfifo(tmp_path / "gate")
    attempt = run.attempt(GATED, {"GATE": str(tmp_path / "gate")}, start=start)
    await runtime.start(attempt)
    supervisor = psutil.Process(supervisor_of(attempt))
    await runtime.close()
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    await until(lambda: has_gone(supervisor))
    os.close(gate)
    assert is_durable(attempt)
    exit_ = await PythonOnHost().wait(attempt)
    assert json.loads(exit_.returned.read_bytes()) == 1


@pytest.mark.parametrize("start", ["fork", "spawn"])
async def test_an_end_that_is_taken_is_not_synced(run, runtime, start):
    attempt, second = run.attempt(RETURN, start=start), run.attempt(RETURN, start=start)
    await runtime.start(attempt)
    await runtime.wait(attempt)
    publish(attempt)
    await runtime.cleanup(attempt)
    await runtime.start(second)
    await runtime.wait(second)
    await until(lambda: is_durable(second))
    assert not list(attempt.folder.parent.glob("*-done/exit-*-synced"))


async def test_a_spawned_supervisor_goes_as_soon_as_its_end_is_published(run, runtime):
    attempt = run.attempt(RETURN, start="spawn")
    await runtime.start(attempt)
    await runtime.wait(attempt)
    supervisor = psutil.Process(supervisor_of(attempt))
    publish(attempt)
    await runtime.cleanup(attempt)
    await until(lambda: has_gone(supervisor), timeout=0.9)


async def test_an_earlier_end_is_made_durable_while_the_next_program_runs(run, runtime, tmp_path):
    os.mkfifo(tmp_path / "gate")
    environment = {"GATE": str(tmp_path / "gate")}
    first, second = run.attempt(RETURN, environment), run.attempt(GATED, environment)
    await runtime.start(first)
    await runtime.wait(first)
    await runtime.start(second)
    assert supervisor_of(first) == supervisor_of(second)
    await until(lambda: is_durable(first))
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    assert (await runtime.wait(second)).code == 0
    os.close(gate)


async def test_an_engine_that_is_killed_with_an_unread_reply_leaves_no_end_behind(run, runtime, monkeypatch):
    """Its supervisor's next read fails with ECONNRESET then, and is no end of file."""
    attempt = run.attempt(RETURN)
    await runtime.start(attempt)
    supervisor = psutil.Process(supervisor_of(attempt))
    (link,) = runtime._servers._links
    unread = socket.socket(fileno=os.dup(link._connection.fileno()))
    link.close()
    await until(lambda: names(attempt))
    unread.close()
    await until(lambda: has_gone(supervisor))
    assert is_durable(attempt)
    assert f"{supervisor.pid}-work" not in [path.name for path in attempt.scratch.iterdir()]


# ---------------------------------------------------------------------- without a process


@pytest.fixture
def ended(tmp_path):
    """Return the folder of an ended attempt, and the name of its exit."""
    folder = tmp_path / "run" / "job"
    folder.mkdir(parents=True)
    for name in ("process.json", "returned.json", "stdout.log", "exit-code-0-1-returned-2"):
        (folder / name).write_bytes(b"42")
    return folder, "exit-code-0-1-returned-2"


def test_everything_is_on_the_disk_before_the_durable_name_is(ended, monkeypatch):
    folder, name = ended
    order, sync = [], os.fsync

    def record(fd):
        made = (folder / f"{name}-synced").exists()
        order.append((os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), folder), made))  # noqa: PTH115  # a path is wanted as it is
        sync(fd)

    monkeypatch.setattr(os, "fsync", record)
    assert make_durable(str(folder), name)
    before = {path for path, made in order if not made}
    assert before == {"process.json", "returned.json", "stdout.log", "."}
    assert [path for path, made in order if made] == [".", ".."]


@pytest.mark.parametrize("failing", range(4))
def test_what_can_t_be_synced_never_gets_the_durable_name(ended, monkeypatch, failing):
    folder, name = ended
    calls = iter(range(100))

    def fsync(fd):
        if next(calls) == failing:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    assert not make_durable(str(folder), name)
    assert not (folder / f"{name}-synced").exists()


def test_a_full_disk_is_waited_for(ended, monkeypatch):
    folder, name = ended
    failures = iter([OSError(28, "No space left on device")] * 2)
    make = os.open

    def open_or_fail(path, *arguments, **options):
        if str(path).endswith("-synced") and (failure := next(failures, None)):
            raise failure
        return make(path, *arguments, **options)

    monkeypatch.setattr(durable_ends, "_RETRY_DELAY", 0.01)
    monkeypatch.setattr(os, "open", open_or_fail)
    assert make_durable(str(folder), name)


@pytest.mark.parametrize("place", ["fifo", "link", "folder"])
def test_what_a_program_has_put_in_the_place_of_a_file_blocks_nothing(ended, place):
    folder, name = ended
    (folder / "stdout.log").unlink()
    make = {"fifo": os.mkfifo, "folder": os.mkdir, "link": lambda path: path.symlink_to("/dev/zero")}
    make[place](folder / "stdout.log")
    assert make_durable(str(folder), name)


def test_what_was_taken_or_replaced_is_left_alone(ended, tmp_path):
    folder, name = ended
    folder.rename(tmp_path / "away")
    assert not make_durable(str(folder), name)
    folder.symlink_to(tmp_path / "away")
    assert not make_durable(str(folder), name)
    folder.unlink()
    folder.mkdir()  # the job's next attempt
    assert not make_durable(str(folder), name)
    assert list(folder.iterdir()) == []
    shutil.rmtree(folder)


def test_a_supervisor_that_ends_waits_for_all_of_its_ends(tmp_path):
    ends = DurableEnds()
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "exit-code-0-1").touch()
        ends.remember(str(folder), "exit-code-0-1")
    assert 0 < ends.timeout() <= 1000
    ends.look()
    ends.finish()
    assert len(list(tmp_path.glob("*/exit-code-0-1-synced"))) == 20
    assert ends.timeout() is None


async def test_a_disk_that_is_slow_does_not_stop_the_output_of_the_next_program(run, needs_strace):
    runtime = PythonOnHost("namespace")
    first, second = run.attempt(RETURN), run.attempt(RETURN)
    await runtime.start(first)
    await runtime.wait(first)
    pid = supervisor_of(first)
    with slow_syncs(pid):
        await until(lambda: len(list(Path(f"/proc/{pid}/task").iterdir())) > 1)
        await runtime.start(second)
        assert (await runtime.wait(second)).code == 0
        assert second.stdout.read_bytes() == b"said\n"
        assert not is_durable(first)
    await until(lambda: is_durable(first))
