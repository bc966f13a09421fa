"""What is known of a container after a power cut, or after something has touched its record: never too much.

The cut is played by its traces: a record of another boot, an empty one, or none. tests/crash plays it whole.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.images import IMAGE, client
from tests.unit.plugins.containers.attempts import ids, run, start
from treadle import Attempt, Exit, Reason, StartError, UntrustedFile, boot
from treadle_containers import ContainerRuntime, EngineUnreachable
from treadle_containers.images import BuildLog
from treadle_containers.record import Record

ELSEWHEN = "00000000-0000-4000-8000-000000000000"
"""The id of another boot."""


def record_of(attempt: Attempt) -> Path:
    return attempt.folder / "container.json"


def change(attempt: Attempt, **fields: object) -> None:
    """Change fields of an attempt's record, as it lies on the disk."""
    record = json.loads(record_of(attempt).read_bytes())
    record_of(attempt).write_text(json.dumps({**record, **fields}))


async def ended(kind: str, attempt: Attempt) -> None:
    """Wait for the end of the attempt's container, while no engine of ours looks."""
    await run(kind, "wait", *ids(kind, attempt))


async def adopt(runtime: ContainerRuntime, attempt: Attempt) -> Exit:
    """Start and await the attempt, as the next engine does."""
    await start(runtime, attempt)
    return await runtime.wait(attempt)


async def is_given_up(runtime: ContainerRuntime, kind: str, attempt: Attempt) -> bool:
    """Return whether nothing is left of the attempt, and nothing is ever started for it again."""
    assert ids(kind, attempt) == []
    assert (await adopt(runtime, attempt)).reason is Reason.LOST
    return ids(kind, attempt) == []


async def test_the_boot_of_a_local_engine_is_recorded(runtime, attempt):
    made = attempt()
    await start(runtime, made)
    assert json.loads(record_of(made).read_bytes())["boot"] == boot().partition("/")[0]
    assert (await runtime.wait(made)).reason is Reason.ENDED
    await runtime.cleanup(made)


async def test_an_exit_of_another_boot_is_not_believed(runtime, kind, attempt):
    made = attempt("echo PlanQK:Job:Result: torn")
    await start(runtime, made)
    await ended(kind, made)
    change(made, boot=ELSEWHEN)
    exit_ = await adopt(runtime, made)
    assert (exit_.reason, exit_.code) == (Reason.LOST, None)
    assert "restarted" in exit_.detail
    assert not made.stdout.exists()
    assert await is_given_up(runtime, kind, made)


async def test_a_container_of_another_boot_is_not_alive_when_its_attempt_is_lost(runtime, kind, attempt):
    made = attempt("sleep 600")
    await start(runtime, made)
    change(made, boot=ELSEWHEN)
    assert (await adopt(runtime, made)).reason is Reason.LOST
    assert await is_given_up(runtime, kind, made)


async def test_a_container_of_another_boot_that_was_never_started_is_not_started(runtime, kind, attempt):
    made = attempt()
    await start(runtime, made)
    await runtime.wait(made)
    await runtime.cleanup(made)
    made.stdout.unlink()
    change(made, boot=ELSEWHEN, id=None)
    assert (await adopt(runtime, made)).reason is Reason.LOST
    assert await is_given_up(runtime, kind, made)


async def test_a_stop_ends_a_container_of_another_boot(runtime, kind, attempt):
    made = attempt("sleep 600")
    await start(runtime, made)
    change(made, boot=ELSEWHEN)
    await runtime.stop(made, 0)
    assert stopped(kind, made)
    assert (await runtime.wait(made)).reason is Reason.LOST
    assert await is_given_up(runtime, kind, made)


async def test_a_record_without_a_boot_is_believed(runtime, kind, attempt):
    """Version 1 recorded none, and of an engine on another host none can be told."""
    made = attempt()
    await start(runtime, made)
    await ended(kind, made)
    change(made, boot="")
    exit_ = await adopt(runtime, made)
    assert (exit_.reason, exit_.code) == (Reason.ENDED, 0)
    assert made.stdout.read_bytes() == b"once\n"
    await runtime.cleanup(made)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def missing(path: Path) -> None:
    path.unlink()


def older(path: Path) -> None:
    """A power cut took the last rename: the record is the one from before the container was made."""
    record = json.loads(path.read_bytes())
    path.write_text(json.dumps({"name": record["name"]}))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def zeros_without_end(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def strange_id(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "id": "../images/json?"}))


def deep(path: Path) -> None:
    path.write_bytes(b'{"unknown": ' + b"[" * 30_000)


DAMAGES = [empty, zeros, half, missing, older, fifo, zeros_without_end, folder, strange_id, deep]
damaged = pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)


@damaged
@pytest.mark.timeout(30)
async def test_a_container_without_its_record_is_never_started_again(runtime, kind, attempt, damage):
    made = attempt("echo PlanQK:Job:Result: torn")
    await start(runtime, made)
    await ended(kind, made)
    damage(record_of(made))
    assert (await adopt(runtime, made)).reason is Reason.LOST
    assert not made.stdout.exists()
    assert await is_given_up(runtime, kind, made)


@damaged
@pytest.mark.timeout(30)
async def test_a_container_without_its_record_is_not_alive_when_it_is_lost(runtime, kind, attempt, damage):
    made = attempt("sleep 600")
    await start(runtime, made)
    damage(record_of(made))
    assert (await adopt(runtime, made)).reason is Reason.LOST
    assert await is_given_up(runtime, kind, made)


@damaged
@pytest.mark.timeout(30)
async def test_a_container_without_its_record_is_stopped(runtime, kind, attempt, damage):
    made = attempt("sleep 600")
    await start(runtime, made)
    damage(record_of(made))
    await runtime.stop(made, 0)
    assert stopped(kind, made)
    await runtime.cleanup(made)
    assert await is_given_up(runtime, kind, made)


def stopped(kind: str, attempt: Attempt) -> bool:
    """Return whether no container of the attempt's spool runs."""
    command = [client(kind), "ps", "-q", "--filter", f"label=treadle.spool={attempt.spool_id}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.parametrize("place", [None, "/etc"], ids=["nothing", "link"])
async def test_a_container_whose_folder_is_gone_is_stopped(runtime, kind, attempt, place):
    made = attempt("sleep 600")
    await start(runtime, made)
    made.folder.rename(made.folder.with_name("elsewhere"))
    if place is not None:
        made.folder.symlink_to(place)
    await runtime.stop(made, 0)
    assert stopped(kind, made)
    await run(kind, "rm", "-f", *ids(kind, made))


async def test_a_full_disk_does_not_keep_a_container_from_being_stopped(runtime, kind, attempt, monkeypatch):
    made = attempt("sleep 600")
    await start(runtime, made)
    monkeypatch.setattr(Record, "write", full_disk)
    with pytest.raises(OSError, match="No space left"):  # the engine calls stop again, and records it
        await runtime.stop(made, 0)
    assert stopped(kind, made)
    monkeypatch.undo()
    await runtime.stop(made, 0)
    assert (await runtime.wait(made)).reason is Reason.ENDED
    await runtime.cleanup(made)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_stop_does_not_wait_for_an_engine_that_is_away(runtime, kind, attempt, monkeypatch):
    """An attempt that has no record has, as a rule, no container either."""
    made = attempt()

    async def hangs(_: str) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(runtime._engine, "inspect", hangs)
    async with asyncio.timeout(3):
        await runtime.stop(made, 10)
        await runtime.cleanup(made)
    monkeypatch.undo()
    assert await is_given_up(runtime, kind, made)


@pytest.mark.parametrize("name", ["stdout.log", "stderr.log"])
@pytest.mark.timeout(30)
async def test_a_fifo_in_the_place_of_a_log_fails_the_attempt_and_blocks_nobody(runtime, kind, attempt, name):
    made = attempt()
    os.mkfifo(made.folder / name)
    with pytest.raises(UntrustedFile, match="not a regular file"):
        await adopt(runtime, made)
    await runtime.stop(made, 0)
    await runtime.cleanup(made)
    assert ids(kind, made) == []


@pytest.mark.timeout(10)
@pytest.mark.parametrize("place", [os.mkfifo, lambda path: path.symlink_to("/dev/full")])
def test_the_progress_of_a_build_goes_into_a_file_and_nothing_else(tmp_path, place):
    place(tmp_path / "build.log")
    with pytest.raises(OSError, match=r"build\.log"):
        BuildLog(tmp_path / "build.log")("a line")


async def test_a_container_of_somebody_else_is_let_alone(runtime, kind, attempt):
    made = attempt()
    await start(runtime, made)
    await runtime.wait(made)
    name = Record.read(made).name
    await runtime.cleanup(made)
    record_of(made).unlink()
    await run(kind, "create", "--network", "none", "--name", name, IMAGE, "true")
    try:
        with pytest.raises(StartError, match="somebody else"):
            await start(runtime, made)
        await runtime.stop(made, 0)
        record_of(made).write_bytes(b"")
        assert (await runtime.wait(made)).reason is Reason.LOST
        assert await run(kind, "ps", "-a", "-q", "--filter", f"name={name}") != ""
    finally:
        await run(kind, "rm", "-f", name)


async def test_the_log_of_an_ended_container_is_copied_once(runtime, attempt, monkeypatch):
    made, copies = attempt("echo out; echo err >&2"), []
    copy_log = runtime._engine.copy_log

    async def counted(container, into, follow):
        copies.append((sorted(into), follow))
        await copy_log(container, into, follow)

    monkeypatch.setattr(runtime._engine, "copy_log", counted)
    await start(runtime, made)
    await runtime.wait(made)
    assert [streams for streams, follow in copies if not follow] == [["stderr", "stdout"]]
    assert (made.stdout.read_bytes(), made.stderr.read_bytes()) == (b"out\n", b"err\n")
    await runtime.cleanup(made)


async def test_a_full_log_does_not_keep_the_other_one_from_being_whole(runtime, attempt):
    made = attempt("seq 1 1000; seq 1 20 >&2", output_limit=100)
    await start(runtime, made)
    exit_ = await runtime.wait(made)
    assert "100 bytes" in exit_.detail
    assert made.stdout.stat().st_size == 100
    assert made.stderr.read_text() == "".join(f"{number}\n" for number in range(1, 21))
    await runtime.cleanup(made)


async def test_a_copy_that_is_interrupted_begins_again(runtime, attempt, monkeypatch):
    made, interrupted = attempt("seq 1 3"), []
    copy_log = runtime._engine.copy_log

    async def breaks_off(container, into, follow):
        if not interrupted and not follow:
            interrupted.append(container)
            into["stdout"].write(b"1\n2\n")
            raise EngineUnreachable("restarted")
        await copy_log(container, into, follow)

    monkeypatch.setattr(runtime._engine, "copy_log", breaks_off)
    await start(runtime, made)
    await runtime.wait(made)
    assert interrupted
    assert made.stdout.read_bytes() == b"1\n2\n3\n"
    await runtime.cleanup(made)
