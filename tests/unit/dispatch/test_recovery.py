from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from treadle import Descriptor, Service
from treadle.dispatch.recovery import Recovered, recover
from treadle.testing import Call, calls, ended, eventually, live_attempt, result, submit, until
from treadle_spool import Owner, Spool, State, Status, now

SERVICES = {"test": Service("test", Path(), runtime="scripted")}


def test_an_attempt_that_began_is_gone_on_with(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    (found,) = recover(owner, SERVICES, {"scripted"}.__contains__, owner.spool.read_queued)
    assert (found.job.id, found.live.attempt.number) == ("mine", 1)


def test_a_claim_that_never_began_is_taken_back(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", None)
    (spool.run / "empty").mkdir()
    assert list(recover(owner, SERVICES, {"scripted"}.__contains__, owner.spool.read_queued)) == []
    assert list(spool.run.iterdir()) == []
    assert spool.look_up("mine").status is State.PENDING


def test_an_attempt_whose_record_a_power_cut_took_is_counted_all_the_same(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    (spool.run / "mine" / "attempts" / "1").mkdir(parents=True)
    (spool.run / "mine" / "attempt.json").write_bytes(b"")
    (found,) = recover(owner, SERVICES, {"scripted"}.__contains__, owner.spool.read_queued)
    assert (found.live.attempt.number, found.live.attempt.runtime) == (2, "scripted")


def test_a_crash_while_an_attempt_was_put_away_is_told(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    (spool.run / "mine" / "attempts" / "1").mkdir(parents=True)
    (found,) = recover(owner, SERVICES, {"scripted"}.__contains__, owner.spool.read_queued)
    assert (found.live.attempt.number, found.put_away) == (1, True)


def test_a_job_of_a_service_that_is_not_served_stays_as_it_is(spool, owner, caplog):
    spool.accept(Descriptor(service="other"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    assert list(recover(owner, SERVICES, {"scripted"}.__contains__, owner.spool.read_queued)) == []
    assert spool.look_up("mine").status is State.RUNNING
    assert "not served" in caplog.text


def test_a_job_whose_runtime_is_not_installed_stays_as_it_is(spool, owner, caplog):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    assert list(recover(owner, SERVICES, {"other"}.__contains__, owner.spool.read_queued)) == []
    assert spool.look_up("mine").status is State.RUNNING
    assert "not installed" in caplog.text


# ---------------------------------------------------------------------- what a power cut or a program left


def begun(spool: Spool, owner: Owner) -> Path:
    """Claim a job whose runtime has left a file of its own, and return its folder."""
    spool.accept(Descriptor(service="test", priority=7), "mine")
    folder = owner.claim("mine", live_attempt(runtime="scripted"))
    assert folder is not None
    (folder / "process.json").write_bytes(b"")
    return folder


def recovered(owner: Owner) -> list[Recovered]:
    return list(recover(owner, SERVICES, {"scripted"}.__contains__, owner.spool.read_queued))


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    """Leave what delayed allocation leaves after a power cut."""
    put(path, b"")


def zeros(path: Path) -> None:
    put(path, bytes(4096))


def half(path: Path) -> None:
    content = path.read_bytes()
    put(path, content[: len(content) // 2])


def another_type(path: Path) -> None:
    put(
        path,
        b'{"attempt": {"number": 0, "runtime": "scripted", "started": "2026-01-02T03:04:05Z"}, "service": 1}',
    )


def folder(path: Path) -> None:
    path.unlink()
    (path / "deeper").mkdir(parents=True)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put(path: Path, content: bytes) -> None:
    """Put another file in the place of this one, which may have further names."""
    path.unlink()
    path.write_bytes(content)


DAMAGES = [gone, empty, zeros, half, another_type, folder, loop, pipe]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_attempt_whose_record_is_damaged_is_adopted_and_keeps_its_number(spool, owner, damage):
    damage(begun(spool, owner) / "attempt.json")
    (found,) = recovered(owner)
    assert (found.live.attempt.number, found.live.attempt.runtime) == (1, "scripted")
    assert spool.read_live("mine") == found.live
    eventually(lambda: not list(spool.tmp.iterdir()), "the removal of what was in the way")


@pytest.mark.parametrize("record", [None, *DAMAGES])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_descriptor_that_is_damaged_is_taken_from_the_queue(spool, owner, damage, record):
    run = begun(spool, owner)
    damage(run / "job.json")
    if record is not None:
        record(run / "attempt.json")
    assert spool.look_up("mine").service == "test"
    (found,) = recovered(owner)
    assert (found.job.priority, found.live.attempt.number) == (7, 1)
    assert (run / "job.json").samefile(spool.queued("mine"))
    eventually(lambda: not list(spool.tmp.iterdir()), "the removal of what was in the way")


@pytest.mark.parametrize("record", DAMAGES)
def test_a_job_whose_descriptor_is_gone_for_good_is_ended(spool, owner, record):
    run = begun(spool, owner)
    (run / "job.json").write_bytes(b"no JSON")  # it is the file in queue/ as well
    record(run / "attempt.json")
    (found,) = recovered(owner)
    assert "can't be read any more" in found.problem
    assert "the text is not valid JSON" in found.problem


@pytest.mark.parametrize("damage", [empty, zeros])
def test_a_claim_that_never_began_is_taken_back_whatever_became_of_its_descriptor(spool, owner, damage):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", None)
    damage(spool.run / "mine" / "job.json")
    assert recovered(owner) == []
    assert spool.look_up("mine").status is State.PENDING


def test_a_record_that_the_disk_does_not_take_is_no_reason_to_forget_the_job(spool, owner, monkeypatch):
    empty(begun(spool, owner) / "attempt.json")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Owner, "record_attempt", refuse)
    (found,) = recovered(owner)
    assert found.live.attempt.number == 1


def test_the_time_of_an_attempt_with_a_damaged_record_is_not_that_of_its_job(spool, owner):
    old = msgspec.structs.replace(Descriptor(service="test"), created=now() - timedelta(days=1))
    spool.accept(old, "mine")
    run = owner.claim("mine", live_attempt(runtime="scripted"))
    empty(run / "attempt.json")
    (run / "process.json").touch()
    (found,) = recovered(owner)
    assert now() - found.live.attempt.started < timedelta(hours=1)


def test_a_folder_from_the_future_does_not_start_its_attempt_there(spool, owner):
    run = begun(spool, owner)
    empty(run / "attempt.json")
    later = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    os.utime(run, (later, later))
    (found,) = recovered(owner)
    assert found.live.attempt.started <= now()


def test_a_record_without_a_runtime_gets_that_of_its_service(spool, owner):
    run = begun(spool, owner)
    (run / "attempt.json").write_bytes(live_attempt(runtime="").to_json())
    (found,) = recovered(owner)
    assert found.live.attempt.runtime == "scripted"


def test_a_damaged_record_of_a_service_that_is_not_served_is_left_until_it_is(spool, owner):
    empty(begun(spool, owner) / "attempt.json")
    assert list(recover(owner, {}, {"scripted"}.__contains__, owner.spool.read_queued)) == []
    (found,) = recovered(owner)
    assert found.live.attempt.runtime == "scripted"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_job_whose_folder_was_replaced_is_ended(spool, owner, tmp_path, kind):
    run = begun(spool, owner)
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere") if kind == "link" else run.write_bytes(b"")
    (found,) = recovered(owner)
    assert (found.job.service, "replaced" in found.problem) == ("test", True)
    assert (tmp_path / "elsewhere" / "attempt.json").exists()


def test_what_is_left_of_a_job_that_has_ended_is_removed(spool, owner):
    begun(spool, owner)
    (spool.done / "mine").mkdir()
    status = Status(id="mine", service="test", status=State.FAILED, created=now(), ended=now())
    (spool.done / "mine" / "status.json").write_bytes(status.to_json())
    assert recovered(owner) == []
    assert not (spool.run / "mine").exists()
    assert spool.look_up("mine").status is State.FAILED


def test_the_status_of_a_job_whose_descriptor_is_gone_for_good_is_still_told(spool, owner):
    (begun(spool, owner) / "job.json").write_bytes(b"")
    status = spool.look_up("mine")
    assert (status.status, status.service) == (State.RUNNING, "")


async def test_a_job_that_can_only_be_ended_is_stopped_and_fails(harness):
    harness.service(waits=True)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
    for record in ("job.json", "attempt.json"):
        (harness.spool / "run" / job / record).write_bytes(b"")
    async with harness.engine() as engine:
        assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == "JOB_DAMAGED"
        assert {call.method for call in calls(engine) if call.job == job} == {"stop"}
        await until(lambda: not list(engine.spool.run.iterdir()))
