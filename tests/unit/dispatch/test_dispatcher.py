"""Jobs from queue/ to done/, with a runtime that does what the test says."""

from __future__ import annotations

import asyncio
import errno
import json
import time

import pytest

from tests.unit.scripted import calls, ended, result, submit, until
from treadle import Descriptor, ServiceError, State
from treadle_spool import InvalidDescriptor, Spool


async def test_a_job_goes_from_the_queue_to_done(bench):
    bench.service(prints="PlanQK:Job:InterimResult: 1\nPlanQK:Job:Result: 2\n")
    async with bench.engine() as engine:
        job = await submit(engine)
        assert (await ended(engine, job)).status is State.SUCCEEDED
        assert result(engine, job) == 2
        assert (engine.spool.done / job / "interim.jsonl").read_bytes() == b"1\n"
        await until(lambda: ("cleanup", job, "done") in calls(engine), "the clean-up after the outcome")
        assert [call[0] for call in calls(engine)] == ["start", "cleanup"]


async def test_a_job_is_not_started_before_its_accept_is_durable(bench, monkeypatch):
    bench.service()
    async with bench.engine() as engine:

        def fail() -> None:
            time.sleep(0.2)  # so that its file has been seen
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(engine.spool._acceptor, "_sync", fail)
        with pytest.raises(OSError, match="Input/output"):
            await submit(engine)
        monkeypatch.undo()
        other = await submit(engine)
        await ended(engine, other)
        assert {call[1] for call in calls(engine)} == {other}
        assert [each.name for each in engine.spool.done.iterdir()] == [other]


async def test_as_many_run_at_a_time_as_there_are_slots(bench):
    bench.service(waits="for the test")
    async with bench.engine(jobs=2) as engine:
        jobs = [await submit(engine, f"job-{number}") for number in range(4)]
        await until(lambda: len(engine.dispatcher.runs) == 2)
        (engine.spool.run / jobs[0] / "ends").write_text('{"code": 0}')
        await ended(engine, jobs[0])
        await until(lambda: ("start", jobs[2], 1) in calls(engine))
        assert ("start", jobs[3], 1) not in calls(engine)


async def test_a_start_that_is_refused_is_the_job_s_failure(bench):
    bench.service(start="error")
    async with bench.engine() as engine:
        job = await submit(engine)
        status = await ended(engine, job)
        assert result(engine, job) == {"code": "NOT_TODAY", "detail": "the machine is closed"}
        assert status.attempts[0].reason == "not-started"


async def test_a_runtime_with_a_bug_fails_the_job_and_not_the_engine(bench):
    bench.service(start="bug")
    async with bench.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert result(engine, job)["code"] == "RUNTIME_ERROR"
        assert ("stop", job, 1) in calls(engine)


async def test_a_lost_attempt_is_tried_again_as_often_as_is_allowed(bench):
    bench.service(waits="for the test")
    async with bench.engine(attempts=2) as engine:
        job = await submit(engine)
        for number in (1, 2):
            await until(lambda number=number: ("start", job, number) in calls(engine))
            (engine.spool.run / job / "ends").write_text('{"reason": "lost"}')
        status = await ended(engine, job)
        assert status.status is State.FAILED
        assert result(engine, job)["code"] == "LOST"
        assert [(each.number, each.reason) for each in status.attempts] == [(1, "lost"), (2, "lost")]


async def test_a_service_can_say_that_it_must_not_be_tried_again(bench):
    bench.service(toml='retry = "never"', waits="for the test")
    async with bench.engine() as engine:
        job = await submit(engine)
        await until(lambda: ("start", job, 1) in calls(engine))
        (engine.spool.run / job / "ends").write_text('{"reason": "lost"}')
        assert len((await ended(engine, job)).attempts) == 1


@pytest.mark.parametrize("start", ["", "slow"])
async def test_a_running_job_is_cancelled_in_whichever_phase(bench, start):
    bench.service(waits="for the test", start=start)
    async with bench.engine() as engine:
        job = await submit(engine)
        await until(lambda: ("start", job, 1) in calls(engine))
        engine.spool.ask_to_cancel(job)
        status = await ended(engine, job)
        assert (status.status, status.attempts[0].reason) == (State.CANCELLED, "stopped")
        await until(lambda: not list(engine.spool.cancel.iterdir()))


async def test_a_waiting_job_that_is_cancelled_never_starts(bench):
    bench.service(waits="for the test")
    async with bench.engine(jobs=1) as engine:
        await submit(engine, "first")
        job = await submit(engine, "second")
        await until(lambda: "second" in engine.dispatcher.backlog)
        engine.spool.ask_to_cancel(job)
        status = await ended(engine, job)
        assert (status.status, status.started, status.attempts) == (State.CANCELLED, None, ())
        assert ("start", "second", 1) not in calls(engine)


async def test_a_timeout_counts_from_the_start_and_the_shorter_one_holds(bench):
    bench.service(toml="timeout = 60", waits="for the test")
    async with bench.engine() as engine:
        job = await submit(engine, timeout=0.2)
        status = await ended(engine, job)
        assert status.attempts[0].reason == "timed-out"
        assert "0.2 s" in result(engine, job)["detail"]


async def test_a_job_whose_service_is_not_served_waits_and_is_told(bench):
    bench.service()
    Spool.open(bench.spool).accept(Descriptor(service="other"), "mine")
    async with bench.engine() as engine:
        await until(lambda: "mine" in engine.dispatcher.backlog)
        assert engine.health().problems == ("jobs wait for service 'other', which is not served",)
        with pytest.raises(InvalidDescriptor):
            await submit(engine, service="other")


async def test_a_damaged_file_in_the_queue_is_kept_aside_and_the_others_run(bench):
    bench.service()
    async with bench.engine() as engine:
        (engine.spool.tmp / "1-x").write_bytes(b"{")
        (engine.spool.queue / "bad.json").hardlink_to(engine.spool.tmp / "1-x")
        await ended(engine, await submit(engine))
        await until((engine.spool.bad / "bad.json.reason.json").exists)


async def test_an_outcome_that_the_disk_refuses_is_written_when_it_can_be(bench, monkeypatch):
    bench.service(prints="PlanQK:Job:Result: 1\n")
    finish, refusals = Spool.finish, iter([OSError(errno.ENOSPC, "No space left on device")])

    def refuse_once(self, status, content):
        for error in refusals:
            raise error
        finish(self, status, content)

    monkeypatch.setattr(Spool, "finish", refuse_once)
    async with bench.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert result(engine, job) == 1


async def test_a_claim_that_the_disk_refuses_is_made_when_it_can_be(bench, monkeypatch):
    bench.service()
    claim, refusals = Spool.claim, iter([OSError(errno.EMFILE, "Too many open files")])

    def refuse_once(self, name, live):
        for error in refusals:
            raise error
        return claim(self, name, live)

    monkeypatch.setattr(Spool, "claim", refuse_once)
    async with bench.engine() as engine:
        await ended(engine, await submit(engine))


async def test_the_next_engine_goes_on_with_what_this_one_started(bench):
    bench.service(waits="for the test", prints="PlanQK:Job:InterimResult: 1\n")
    async with bench.engine() as engine:
        job = await submit(engine)
        await until((engine.spool.run / job / "interim.jsonl").exists)
    async with bench.engine() as engine:
        assert engine.spool.look_up(job).status is State.RUNNING
        (engine.spool.run / job / "ends").write_text('{"code": 0}')
        status = await ended(engine, job)
        assert [each.number for each in status.attempts] == [1]
        assert ("start", job, 1) in calls(engine)


async def test_a_run_that_a_plugin_wraps_is_surrounded(bench):
    bench.service(prints="PlanQK:Job:Result: 1\n")
    bench.plugin(
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
    bench.plugin("fails", "from treadle import hookimpl\n@hookimpl\ndef wrap_run(attempt): 1 / 0\n")
    async with bench.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert (engine.spool.done / job / "note").read_text() == "in and out"


async def test_a_service_whose_runtime_is_not_installed_is_told_before_it_is_served(bench):
    bench.service()
    (bench.projects / "test" / "treadle.toml").write_text('runtime = "scriptet"')
    with pytest.raises(ServiceError, match="did you mean 'scripted'"):
        async with bench.engine():
            pass


async def test_an_interim_result_that_is_not_json_is_noted(bench):
    bench.service(prints="PlanQK:Job:InterimResult: {oops\nPlanQK:Job:Result: 1\n")
    async with bench.engine() as engine:
        job = await submit(engine)
        status = await ended(engine, job)
        assert status.status is State.SUCCEEDED
        assert "line 1" in status.notes[0]


async def test_what_is_told_of_a_job_comes_in_order(bench):
    bench.service(prints="PlanQK:Job:InterimResult: 1\n")
    told: list[object] = []
    async with bench.engine() as engine:
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


async def test_an_engine_that_stops_leaves_no_task_behind(bench):
    bench.service(waits="for the test")
    before = asyncio.all_tasks()
    async with bench.engine() as engine:
        await submit(engine)
        await until(lambda: engine.dispatcher.runs)
    assert asyncio.all_tasks() == before
