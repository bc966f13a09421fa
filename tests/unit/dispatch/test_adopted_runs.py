"""An engine that can't go on with an attempt of an earlier engine ends no job whose program is alive."""

from __future__ import annotations

import pytest

from treadle import State
from treadle.testing import Call, calls, end, ended, result, submit, until
from treadle_spool import Owner

PLUGIN = """
from pathlib import Path
from treadle import Command, OutputParser, Program, hookimpl

def check():
    if Path({flag!r}).exists():
        raise ValueError("the descriptor is not what it was")

class Fragile(Program):
    name = "fragile"

    async def command(self, attempt):
        check()
        return Command(argv=("true",), environment={{}})

class FragileParser(OutputParser):
    name = "fragile"

    def __init__(self):
        check()

    def feed(self, line):
        return ()

    def finish(self):
        return ()

@hookimpl
def register_programs(settings):
    return [Fragile()]

@hookimpl
def register_parsers(settings):
    return [FragileParser]
"""


@pytest.mark.parametrize(
    ("service", "code"),
    [({"program": "fragile"}, "PROGRAM_ERROR"), ({"toml": 'parser = "fragile"'}, "PARSER_ERROR")],
)
async def test_a_program_that_runs_is_stopped_before_its_job_fails(harness, tmp_path, service, code):
    harness.plugin("fragile", PLUGIN.format(flag=str(tmp_path / "flag")))
    harness.service(waits=True, **service)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
    (tmp_path / "flag").touch()
    async with harness.engine() as engine:
        assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == code
        assert Call("stop", job, 1) in calls(engine)


async def put_away(harness, **settings):
    """Leave a job as an engine does that is killed while it puts its first attempt away."""
    harness.service(waits=True, toml=settings.pop("toml", ""))
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
    (harness.spool / "run" / job / "attempts" / "1").mkdir(parents=True)
    (harness.spool / "run" / job / "of-the-first").touch()
    return job


async def test_an_attempt_that_is_put_away_is_stopped_before_the_next_one_starts(harness):
    job = await put_away(harness)
    async with harness.engine() as engine:
        await until(lambda: Call("start", job, 2) in calls(engine))
        assert [call for call in calls(engine) if call.job == job] == [
            Call("stop", job, 1),
            Call("start", job, 2),
        ]
        assert (engine.spool.run / job / "attempts" / "1" / "of-the-first").exists()
        end(engine, job, code=0)
        status = await ended(engine, job)
    assert status.status is State.SUCCEEDED
    assert [(each.number, each.reason) for each in status.attempts] == [(1, "lost"), (2, "ended")]


async def test_a_job_that_is_not_retried_has_no_next_attempt_by_a_folder_of_its_program(harness):
    job = await put_away(harness, toml='retry = "never"')
    async with harness.engine() as engine:
        assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == "LOST"
        await until(lambda: len([call for call in calls(engine) if call.job == job]) >= 2)
        assert [call.method for call in calls(engine) if call.job == job] == ["stop", "cleanup"]


async def test_a_disk_that_refuses_the_next_attempt_delays_it_only(harness, monkeypatch):
    job = await put_away(harness)
    record, refused = Owner.next_attempt, []

    def refuse_once(self, name, live):
        if not refused:
            refused.append(name)
            raise OSError(28, "No space left on device")
        return record(self, name, live)

    monkeypatch.setattr(Owner, "next_attempt", refuse_once)
    async with harness.engine() as engine:
        await until(lambda: Call("start", job, 2) in calls(engine))
        assert refused == [job]


async def test_a_job_whose_record_is_gone_is_stopped_in_each_attempt_that_it_may_have_had(harness):
    harness.service(waits=True)
    async with harness.engine(attempts=3) as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
    folder = harness.spool / "run" / job
    folder.rename(harness.spool / "tmp" / "1-elsewhere")
    folder.symlink_to(harness.spool / "tmp" / "1-elsewhere")
    async with harness.engine(attempts=3) as engine:
        assert (await ended(engine, job)).status is State.FAILED
        stopped = [call.number for call in calls(engine) if (call.method, call.job) == ("stop", job)]
        assert stopped == [1, 2, 3]
