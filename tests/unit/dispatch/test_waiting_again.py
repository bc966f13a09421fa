"""Jobs that this host can not start now, or that an earlier engine began: they wait, and none is lost."""

from __future__ import annotations

import time

import pytest

from treadle import State
from treadle.testing import Call, calls, end, ended, result, submit, until

PLUGIN = """
import asyncio, errno
from pathlib import Path
from treadle import Exit, Reason, Runtime, Unavailable, hookimpl

FLAG = Path({flag!r})

class Picky(Runtime):
    name = "picky"
    released = []
    starts = 0

    async def start(self, attempt, command):
        self.starts += 1
        if not FLAG.exists() or FLAG.read_text() == "nobody has noticed":
            raise Unavailable("NO_LUCK", "the flag is not there")
        if FLAG.read_text() == "the disk fails, and then it is gone":
            FLAG.unlink()
            raise OSError(errno.EMFILE, "too many open files")
        attempt.stdout.write_bytes(b"PlanQK:Job:Result: 1\\n")

    async def missing(self, service):
        return None if FLAG.exists() else "the flag is missing"

    async def wait(self, attempt):
        while FLAG.exists() and FLAG.read_text() == "it runs":
            await asyncio.sleep(0.01)
        return Exit(Reason.ENDED, code=0)

    async def stop(self, attempt, grace):
        pass

    def release(self, service):
        self.released.append(service)

@hookimpl
def register_runtimes(settings):
    return [Picky()]
"""


@pytest.fixture
def flag(tmp_path, harness):
    flag = tmp_path / "flag"
    harness.plugin("picky", PLUGIN.format(flag=str(flag)))
    return flag


def reasons(engine):
    return [each.reason for each in engine.services.broken]


async def test_a_job_whose_image_has_gone_waits_and_its_service_is_broken_until_it_is_back(harness, flag):
    harness.service()
    harness.service("picky", runtime="picky")
    flag.touch()
    async with harness.engine() as engine:
        await ended(engine, await submit(engine, service="picky"))
        flag.unlink()
        job = await submit(engine, service="picky")
        await until(lambda: reasons(engine), "that the service is broken")
        await until(lambda: not (engine.spool.run / job).exists(), "that the claim is undone")
        assert engine.spool.look_up(job).status is State.PENDING
        assert (engine.spool.queue / f"{job}.json").exists()
        await ended(engine, await submit(engine))
        assert engine.dispatcher.problems() == []
        assert engine.plugins.runtimes["picky"].starts == 2  # and no more while it is broken
        flag.touch()
        status = await ended(engine, job)
        assert (status.status, len(status.attempts), result(engine, job)) == (State.SUCCEEDED, 1, 1)
        assert reasons(engine) == []


async def test_what_is_missing_at_the_start_is_found_without_a_job(harness, flag):
    harness.service("picky", runtime="picky")
    async with harness.engine() as engine:
        await until(lambda: reasons(engine) == ["the flag is missing"], "that the service is broken")
        flag.touch()
        await until(lambda: "picky" in engine.services, "that it is served")


async def test_a_job_that_waits_again_can_be_cancelled(harness, flag):
    harness.service("picky", runtime="picky")
    flag.touch()
    async with harness.engine() as engine:
        flag.unlink()
        job = await submit(engine, service="picky")
        await until(lambda: job in engine.dispatcher.backlog, "that it waits again")
        engine.spool.ask_to_cancel(job)
        assert (await ended(engine, job)).status is State.CANCELLED


async def test_a_cancel_that_comes_while_a_job_is_put_back_is_carried_out(harness, flag):
    harness.service("picky", runtime="picky")
    flag.touch()
    async with harness.engine() as engine:
        jobs = []
        engine.gateway.reloader.listen(lambda _: engine.spool.ask_to_cancel(jobs[0]))
        flag.unlink()
        jobs.append(await submit(engine, service="picky"))
        assert (await ended(engine, jobs[0])).status is State.CANCELLED


async def test_what_an_earlier_engine_has_started_is_not_put_back(harness, flag):
    harness.service("picky", runtime="picky")
    flag.write_text("it runs")
    async with harness.engine() as engine:
        job = await submit(engine, service="picky")
        await until((engine.spool.run / job / "stdout.log").exists, "that it runs")
    flag.write_text("nobody has noticed")
    async with harness.engine() as engine:
        status = await ended(engine, job, 5)
        assert (status.status, len(status.attempts)) == (State.FAILED, 1)
        assert result(engine, job)["code"] == "NO_LUCK"


async def test_what_may_have_begun_before_the_disk_failed_is_not_put_back(harness, flag):
    harness.service("picky", runtime="picky")
    flag.write_text("the disk fails, and then it is gone")
    async with harness.engine() as engine:
        job = await submit(engine, service="picky")
        assert (await ended(engine, job, 5)).status is State.FAILED
        assert result(engine, job)["code"] == "NO_LUCK"


async def left_running(harness):
    """Leave a job running whose service is broken then; return its name, and what mends the service."""
    harness.service("other")
    project = harness.service(waits=True)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
    toml = (project / "treadle.toml").read_text()
    (project / "treadle.toml").write_text("[")
    return job, lambda: (project / "treadle.toml").write_text(toml)


async def test_a_running_job_of_a_service_that_is_broken_at_the_start_is_adopted_when_it_is_mended(harness):
    job, mend = await left_running(harness)
    async with harness.engine() as engine:
        assert engine.recovery.left == {job}
        await ended(engine, await submit(engine, service="other"))
        assert (engine.spool.run / job).exists()
        mend()
        await until(lambda: job in engine.dispatcher.runs, "that its attempt is adopted")
        end(engine, job, code=0)
        status = await ended(engine, job)
        assert (status.status, len(status.attempts)) == (State.SUCCEEDED, 1)
        assert engine.recovery.left == set()
        assert engine.dispatcher.problems() == []


async def test_what_is_left_is_adopted_once_although_two_changes_come_at_the_same_time(harness, monkeypatch):
    job, mend = await left_running(harness)
    async with harness.engine() as engine:
        look = engine.recovery._recover
        slow = lambda names: (list(look(names=names)), time.sleep(0.3))[0]  # noqa: E731  # a disk that is slow
        monkeypatch.setattr(engine.recovery, "_recover", slow)
        engine.gateway.reloader.listen(lambda _: engine.dispatcher.look_again(engine.recovery))
        mend()
        await until(lambda: job in engine.dispatcher.runs, "that its attempt is adopted")
        end(engine, job, code=0)
        assert (await ended(engine, job)).status is State.SUCCEEDED
        await until(lambda: not engine.dispatcher.runs, "the end of its run")
        assert calls(engine).count(Call("start", job, 1)) == 1
        assert engine.dispatcher.problems() == []


async def test_a_running_job_ends_by_what_it_began_with_and_the_next_by_what_is_there_now(harness):
    harness.service(waits=True, prints="PlanQK:Job:Result: 1\n")
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
        before = engine.services["test"]
        harness.service(prints="PlanQK:Job:Result: 2\n")
        await until(lambda: engine.services["test"] is not before, "the changed service")
        assert engine.dispatcher.runs[job].service is before
        second = await submit(engine)
        await ended(engine, second)
        end(engine, job, code=0)
        await ended(engine, job)
        assert (result(engine, job), result(engine, second)) == (1, 2)


async def test_a_runtime_is_told_of_what_no_new_job_gets(harness, flag):
    harness.service()
    project = harness.service("picky", runtime="picky")
    flag.touch()
    async with harness.engine() as engine:
        first = engine.services["picky"]
        harness.service("picky", "timeout = 5", runtime="picky")
        await until(lambda: engine.services["picky"] is not first, "the changed service")
        second = engine.services["picky"]
        (project / "treadle.toml").unlink()
        await until(lambda: "picky" not in engine.services, "that it is removed")
        assert engine.plugins.runtimes["picky"].released == [first, second]
