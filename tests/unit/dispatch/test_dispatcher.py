"""Jobs from queue/ to done/, with a runtime that does what the test says."""

from __future__ import annotations

import asyncio
import errno
import json

import pytest

from treadle import Descriptor, Reason, State
from treadle.intake.catalogue import ServiceBroken
from treadle.testing import Call, calls, end, ended, eventually, result, submit, until
from treadle_spool import InvalidDescriptor, Owner, Spool


async def test_a_job_goes_from_the_queue_to_done(harness):
    harness.service(prints="PlanQK:Job:InterimResult: 1\nPlanQK:Job:Result: 2\n")
    async with harness.engine() as engine:
        job = await submit(engine)
        assert (await ended(engine, job)).status is State.SUCCEEDED
        assert result(engine, job) == 2
        assert (engine.spool.done / job / "interim.jsonl").read_bytes() == b"1\n"
        await until(
            lambda: Call("cleanup", job, 1, "done") in calls(engine), "the clean-up after the outcome"
        )
        assert [call.method for call in calls(engine)] == ["start", "cleanup"]


async def test_a_job_is_not_started_before_its_accept_is_durable(harness, monkeypatch):
    harness.service()
    async with harness.engine() as engine:

        def fail() -> None:
            Spool.open(harness.spool).accept(Descriptor(service="test"), "later")
            eventually((engine.spool.done / "later").exists, "a job whose file arrived later")
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(engine.spool._acceptor, "_sync", fail)
        with pytest.raises(OSError, match="Input/output"):
            await submit(engine)
        monkeypatch.undo()
        other = await submit(engine)
        await ended(engine, other)
        assert {call.job for call in calls(engine)} == {"later", other}
        assert {each.name for each in engine.spool.done.iterdir()} == {"later", other}


async def test_as_many_run_at_a_time_as_there_are_slots(harness):
    harness.service(waits=True)
    async with harness.engine(jobs=2) as engine:
        jobs = [await submit(engine, f"job-{number}") for number in range(4)]
        await until(lambda: len(engine.dispatcher.runs) == 2)
        end(engine, jobs[0], code=0)
        await ended(engine, jobs[0])
        await until(lambda: Call("start", jobs[2], 1) in calls(engine))
        assert Call("start", jobs[3], 1) not in calls(engine)


async def test_a_start_that_is_refused_is_the_job_s_failure(harness):
    harness.service(start="error")
    async with harness.engine() as engine:
        job = await submit(engine)
        status = await ended(engine, job)
        assert result(engine, job) == {"code": "NOT_TODAY", "detail": "the machine is closed"}
        assert status.attempts[0].reason == "not-started"


async def test_a_runtime_with_a_bug_fails_the_job_and_not_the_engine(harness):
    harness.service(start="bug")
    async with harness.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert result(engine, job)["code"] == "RUNTIME_ERROR"
        assert Call("stop", job, 1) in calls(engine)


async def test_a_lost_attempt_is_tried_again_as_often_as_is_allowed(harness):
    harness.service(waits=True)
    async with harness.engine(attempts=2) as engine:
        job = await submit(engine)
        for number in (1, 2):
            await until(lambda number=number: Call("start", job, number) in calls(engine))
            end(engine, job, Reason.LOST)
        status = await ended(engine, job)
        assert status.status is State.FAILED
        assert result(engine, job)["code"] == "LOST"
        assert [(each.number, each.reason) for each in status.attempts] == [(1, "lost"), (2, "lost")]


async def test_a_service_can_say_that_it_must_not_be_tried_again(harness):
    harness.service(toml='retry = "never"', waits=True)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
        end(engine, job, Reason.LOST)
        assert len((await ended(engine, job)).attempts) == 1


@pytest.mark.parametrize("start", ["", "slow"])
async def test_a_running_job_is_cancelled_in_any_phase(harness, start):
    harness.service(waits=True, start=start)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
        engine.spool.ask_to_cancel(job)
        status = await ended(engine, job)
        assert (status.status, status.attempts[0].reason) == (State.CANCELLED, "stopped")
        await until(lambda: not list(engine.spool.cancel.iterdir()))


async def test_a_waiting_job_that_is_cancelled_never_starts(harness):
    harness.service(waits=True)
    async with harness.engine(jobs=1) as engine:
        await submit(engine, "first")
        job = await submit(engine, "second")
        await until(lambda: "second" in engine.dispatcher.backlog)
        engine.spool.ask_to_cancel(job)
        status = await ended(engine, job)
        assert (status.status, status.started, status.attempts) == (State.CANCELLED, None, ())
        assert Call("start", "second", 1) not in calls(engine)


async def test_a_timeout_counts_from_the_start_and_the_shorter_one_holds(harness):
    harness.service(toml="timeout = 60", waits=True)
    async with harness.engine() as engine:
        job = await submit(engine, timeout=0.2)
        status = await ended(engine, job)
        assert status.attempts[0].reason == "timed-out"
        assert "0.2 s" in result(engine, job)["detail"]


async def test_a_job_whose_service_is_not_served_waits_and_is_reported(harness):
    harness.service()
    Spool.open(harness.spool).accept(Descriptor(service="other"), "mine")
    async with harness.engine() as engine:
        await until(lambda: "mine" in engine.dispatcher.backlog)
        assert engine.health().problems == ("jobs wait for service 'other', which is not served",)
        with pytest.raises(InvalidDescriptor):
            await submit(engine, service="other")


async def test_a_damaged_file_in_the_queue_is_kept_aside_and_the_others_run(harness):
    harness.service()
    async with harness.engine() as engine:
        (engine.spool.tmp / "1-x").write_bytes(b"{")
        (engine.spool.queue / "bad.json").hardlink_to(engine.spool.tmp / "1-x")
        await ended(engine, await submit(engine))
        await until((engine.spool.bad / "bad.json.reason.json").exists)


async def test_an_outcome_that_the_disk_refuses_is_written_when_it_can_be(harness, monkeypatch):
    harness.service(prints="PlanQK:Job:Result: 1\n")
    finish, refusals = Owner.finish, iter([OSError(errno.ENOSPC, "No space left on device")])

    def refuse_once(self, status, content):
        for error in refusals:
            raise error
        finish(self, status, content)

    monkeypatch.setattr(Owner, "finish", refuse_once)
    async with harness.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert result(engine, job) == 1


async def test_a_claim_that_the_disk_refuses_is_made_when_it_can_be(harness, monkeypatch):
    harness.service()
    claim, refusals = Owner.claim, iter([OSError(errno.EMFILE, "Too many open files")])

    def refuse_once(self, name, live):
        for error in refusals:
            raise error
        return claim(self, name, live)

    monkeypatch.setattr(Owner, "claim", refuse_once)
    async with harness.engine() as engine:
        await ended(engine, await submit(engine))


async def test_the_next_engine_goes_on_with_what_this_one_started(harness):
    harness.service(waits=True, prints="PlanQK:Job:InterimResult: 1\n")
    async with harness.engine() as engine:
        job = await submit(engine)
        await until((engine.spool.run / job / "interim.jsonl").exists)
    async with harness.engine() as engine:
        assert engine.spool.look_up(job).status is State.RUNNING
        end(engine, job, code=0)
        status = await ended(engine, job)
        assert [each.number for each in status.attempts] == [1]
        assert Call("start", job, 1) in calls(engine)


async def test_a_run_that_a_plugin_wraps_is_surrounded(harness):
    harness.service(prints="PlanQK:Job:Result: 1\n")
    harness.plugin(
        "wraps",
        """
from contextlib import asynccontextmanager
from treadle import hookimpl

@hookimpl
@asynccontextmanager
async def wrap_run(attempt):
    (attempt.folder / "note").write_text("in")
    yield
    (attempt.folder / "note").write_text("in and out")
""",
    )
    harness.plugin("fails", "from treadle import hookimpl\n@hookimpl\ndef wrap_run(attempt): 1 / 0\n")
    async with harness.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert (engine.spool.done / job / "note").read_text() == "in and out"


async def test_a_service_whose_runtime_is_not_installed_is_broken_and_its_jobs_wait(harness):
    harness.service()
    project = harness.service("other")
    (project / "treadle.toml").write_text('runtime = "scriptet"')
    async with harness.engine() as engine:
        (broken,) = engine.services.broken
        assert "did you mean 'scripted'" in broken.reason
        with pytest.raises(ServiceBroken, match="did you mean"):
            await submit(engine, service="other")
        engine.spool.accept(Descriptor(service="other"), "waits")
        await ended(engine, await submit(engine))
        assert engine.health().ready
        assert any("service 'other' is broken" in note for note in engine.health().notes)
        harness.service("other")
        await ended(engine, "waits")
        assert engine.health().notes == ()


async def test_an_interim_result_that_is_not_json_is_noted(harness):
    harness.service(prints="PlanQK:Job:InterimResult: {oops\nPlanQK:Job:Result: 1\n")
    async with harness.engine() as engine:
        job = await submit(engine)
        status = await ended(engine, job)
        assert status.status is State.SUCCEEDED
        assert "line 1" in status.notes[0]


async def test_what_is_reported_of_a_job_comes_in_order(harness):
    harness.service(prints="PlanQK:Job:InterimResult: 1\n")
    told: list[object] = []
    async with harness.engine() as engine:
        engine.observers.listen("job_changed", lambda job, before, after: told.append((before, after)))
        engine.observers.listen("interim_result", lambda job, value: told.append(json.loads(value)))
        await ended(engine, await submit(engine))
        await until(lambda: len(told) == 4)
    assert told == [
        (State.UNKNOWN, State.PENDING),
        (State.PENDING, State.RUNNING),
        1,
        (State.RUNNING, State.SUCCEEDED),
    ]


async def test_an_engine_that_stops_leaves_no_task_behind(harness):
    harness.service(waits=True)
    before = asyncio.all_tasks()
    async with harness.engine() as engine:
        await submit(engine)
        await until(lambda: engine.dispatcher.runs)
    assert asyncio.all_tasks() == before
