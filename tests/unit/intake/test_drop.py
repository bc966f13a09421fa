from __future__ import annotations

import asyncio
import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generated import COUNT, bodies
from treadle import State
from treadle.intake import drop as intake
from treadle.intake.admission import Admission
from treadle.testing import end, ended, until
from treadle_spool import Descriptor, DropFolder, Spool
from treadle_spool.quarantine import MOST, SLACK

JOB = b'{"service": "test"}'


async def test_what_is_dropped_runs(harness):
    harness.service()
    async with harness.engine() as engine:
        (engine.spool.drop / "mine.json").write_bytes(JOB)
        await until((engine.spool.done / "mine").exists)
        assert (await ended(engine, "mine")).status is State.SUCCEEDED


async def test_what_lay_there_before_the_start_runs(harness):
    harness.service()
    (Spool.open(harness.spool).drop / "mine.json").write_bytes(JOB)
    async with harness.engine() as engine:
        await until((engine.spool.done / "mine").exists)


async def test_the_files_of_a_broken_service_are_looked_at_rarely_and_at_once_when_it_is_mended(harness):
    harness.service("other")
    toml = harness.service() / "treadle.toml"
    whole = toml.read_text()
    toml.write_text("[")
    async with harness.engine() as engine:
        (engine.spool.drop / "mine.json").write_bytes(JOB)
        await until(lambda: engine.intake.visits._timers, "that it is to be looked at again")
        (timer,) = engine.intake.visits._timers.values()
        assert timer.when() - asyncio.get_running_loop().time() > 2 * intake._RETRY_DELAY
        toml.write_text(whole)
        await until(lambda: "test" in engine.services, "that it is mended")
        mended = asyncio.get_running_loop().time()
        await until((engine.spool.done / "mine").exists)
        assert asyncio.get_running_loop().time() - mended < 2 * intake._RETRY_DELAY


async def test_a_hundred_at_once_run_though_some_are_odd(harness):
    harness.service()
    async with harness.engine() as engine:
        for number in range(100):
            (engine.spool.drop / f"job-{number}.json").write_bytes(JOB)
        os.mkfifo(engine.spool.drop / "pipe.json")
        (engine.spool.drop / "folder.json").mkdir()
        (engine.spool.drop / "link.json").symlink_to("/etc/passwd")
        await until(lambda: len(list(engine.spool.done.iterdir())) == 100)
        await until(lambda: engine.intake.refused == 3)
        assert list(engine.spool.drop.iterdir()) == []


@pytest.mark.timeout(60 + COUNT / 10)
async def test_generated_files_become_jobs_or_are_refused_with_a_reason(harness):
    """Every dropped file becomes a job or is refused; none is lost."""
    harness.service()
    Spool.open(harness.spool)
    names = []

    @settings(max_examples=COUNT, database=None)
    @given(bodies, st.booleans())
    def generate(body: bytes, service: bool) -> None:
        names.append(f"file-{len(names)}")
        path = harness.spool / "drop" / f"{names[-1]}.json"
        path.write_bytes(b'{"service": "test",' + body[1:] if service else body)
        os.utime(path, (0, 0))

    await asyncio.to_thread(generate)
    async with harness.engine(jobs=8) as engine:
        done: list[str] = []
        engine.observers.listen("job_changed", lambda job, before, after: after.ended and done.append(job.id))
        everything = "an end or a refusal for each"
        await until(lambda: len(done) + engine.intake.refused == len(names), everything, 60 + COUNT / 20)
        assert sorted(done) == sorted(engine.spool.names(engine.spool.done))
        assert list(engine.spool.drop.iterdir()) == []
        reasons = list(engine.spool.bad.glob("*.reason.json"))
        assert min(engine.intake.refused, MOST) <= len(reasons) <= MOST + SLACK


async def test_a_file_that_is_never_finished_is_refused_after_a_while(harness):
    harness.service()
    async with harness.engine() as engine:
        (engine.spool.drop / "half.json").write_bytes(b'{"service": ')
        await until((engine.spool.bad / "half.json.reason.json").exists)
        assert json.loads((engine.spool.bad / "half.json.reason.json").read_bytes())["code"] == "INVALID_JSON"


async def test_what_is_dropped_waits_while_the_queue_is_full(harness):
    harness.service(waits=True)
    async with harness.engine(queue_limit=1) as engine:
        (engine.spool.drop / "first.json").write_bytes(JOB)
        await until(lambda: "first" in engine.dispatcher.runs)
        (engine.spool.drop / "second.json").write_bytes(JOB)
        end(engine, "first", code=0)
        await until(lambda: "second" in engine.dispatcher.runs)


async def test_health_tells_why_dropped_files_wait_and_the_log_tells_it_once(harness, caplog, monkeypatch):
    harness.service(waits=True)
    checks = 0
    check_room = Admission.check_room

    def count(admission: Admission) -> None:
        nonlocal checks
        checks += 1
        check_room(admission)

    def said() -> int:
        return len([each for each in caplog.records if "has to wait" in each.message])

    monkeypatch.setattr(Admission, "check_room", count)
    async with harness.engine(queue_limit=1) as engine:
        (engine.spool.drop / "first.json").write_bytes(JOB)
        await until(lambda: "first" in engine.dispatcher.runs)
        for number in range(3):
            (engine.spool.drop / f"later-{number}.json").write_bytes(JOB)
        await until(lambda: any("has to wait" in each for each in engine.health().problems), "the problem")
        assert not engine.health().ready
        before, until_checked = said(), checks + 5
        await until(lambda: checks > until_checked)
        assert said() == before


async def test_an_error_of_the_disk_concerns_one_entry(harness, monkeypatch):
    harness.service()
    look = DropFolder.look

    def fail(drop: DropFolder, entry: str, most: int | None = None) -> object:
        if entry == "bad.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return look(drop, entry, most)

    monkeypatch.setattr(DropFolder, "look", fail)
    async with harness.engine() as engine:
        (engine.spool.drop / "bad.json").write_bytes(JOB)
        await until(lambda: any("'bad.json'" in each for each in engine.health().notes), "the note")
        (engine.spool.drop / "good.json").write_bytes(JOB)
        await until((engine.spool.done / "good").exists)
        assert engine.health().ready
        monkeypatch.undo()
        await until((engine.spool.done / "bad").exists)
        assert engine.health().notes == ()


async def test_a_plugin_that_fails_concerns_one_entry(harness, monkeypatch):
    harness.service()
    check = Admission.check

    def fail(admission: Admission, job: Descriptor) -> None:
        if job.labels:
            raise ValueError("no idea")
        check(admission, job)

    monkeypatch.setattr(Admission, "check", fail)
    async with harness.engine() as engine:
        (engine.spool.drop / "bad.json").write_bytes(b'{"service": "test", "labels": {"a": "b"}}')
        await until(lambda: any("no idea" in each for each in engine.health().notes), "the note")
        (engine.spool.drop / "good.json").write_bytes(JOB)
        await until((engine.spool.done / "good").exists)


async def test_large_files_are_not_all_read_at_once(harness, monkeypatch):
    monkeypatch.setattr(intake, "_LEAST_ROOM", 3000)
    monkeypatch.setattr(intake, "_SMALL", 100)
    harness.service()
    most = 0
    check = Admission.is_quick

    def note(admission: Admission, job: Descriptor) -> bool:
        nonlocal most
        most = max(most, engine.intake._held)
        return check(admission, job)

    monkeypatch.setattr(Admission, "is_quick", note)
    async with harness.engine(max_body=1500) as engine:
        for number in range(20):
            data = '{"text": "' + "x" * 1000 + '"}'
            path = engine.spool.drop / f".{number}"
            path.write_text('{"service": "test", "data": ' + data + "}")
            path.rename(engine.spool.drop / f"job-{number}.json")
        await until(lambda: len(list(engine.spool.done.iterdir())) == 20)
        await until(lambda: engine.intake._held == 0)  # its file is taken away when a job runs already
    assert 1000 < most <= 3200


async def test_the_largest_file_that_is_allowed_is_taken(harness, monkeypatch):
    monkeypatch.setattr(intake, "_LEAST_ROOM", 3000)
    monkeypatch.setattr(intake, "_SMALL", 100)
    harness.service()
    async with harness.engine(max_body=10_000) as engine:
        (engine.spool.drop / "large.json").write_bytes(JOB.ljust(10_000))
        await until((engine.spool.done / "large").exists)


async def test_what_a_killed_engine_had_taken_runs(harness):
    harness.service()
    drop = Spool.open(harness.spool).drop
    (drop / ".taking-00000000-mine.json").write_bytes(JOB)
    async with harness.engine() as engine:
        await until((engine.spool.done / "mine").exists)
        await until(lambda: not list(drop.iterdir()))
