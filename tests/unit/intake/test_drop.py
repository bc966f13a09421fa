from __future__ import annotations

import asyncio
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generated import COUNT, bodies
from treadle import State
from treadle.testing import end, ended, until
from treadle_spool import Spool
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

    @settings(max_examples=COUNT, deadline=None, database=None)
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
