from __future__ import annotations

import json
import os

from tests.unit.engine.scripted import ended, until
from treadle import State
from treadle_spool import Spool

JOB = b'{"service": "test"}'


async def test_what_is_dropped_runs(bench):
    bench.service()
    async with bench.engine() as engine:
        (engine.spool.drop / "mine.json").write_bytes(JOB)
        await until((engine.spool.done / "mine").exists)
        assert (await ended(engine, "mine")).status is State.SUCCEEDED


async def test_what_lay_there_before_the_start_runs(bench):
    bench.service()
    (Spool.open(bench.spool).drop / "mine.json").write_bytes(JOB)
    async with bench.engine() as engine:
        await until((engine.spool.done / "mine").exists)


async def test_a_hundred_at_once_run_though_some_are_odd(bench):
    bench.service()
    async with bench.engine() as engine:
        for number in range(100):
            (engine.spool.drop / f"job-{number}.json").write_bytes(JOB)
        os.mkfifo(engine.spool.drop / "pipe.json")
        (engine.spool.drop / "folder.json").mkdir()
        (engine.spool.drop / "link.json").symlink_to("/etc/passwd")
        await until(lambda: len(list(engine.spool.done.iterdir())) == 100)
        await until(lambda: engine.intake.refused == 3)
        assert list(engine.spool.drop.iterdir()) == []


async def test_a_file_that_is_never_finished_is_refused_after_a_while(bench):
    bench.service()
    async with bench.engine() as engine:
        (engine.spool.drop / "half.json").write_bytes(b'{"service": ')
        await until((engine.spool.bad / "half.json.reason.json").exists)
        assert json.loads((engine.spool.bad / "half.json.reason.json").read_bytes())["code"] == "INVALID_JSON"


async def test_what_is_dropped_waits_while_the_queue_is_full(bench):
    bench.service(waits="for the test")
    async with bench.engine(queue_limit=1) as engine:
        (engine.spool.drop / "first.json").write_bytes(JOB)
        await until(lambda: "first" in engine.dispatcher.runs)
        (engine.spool.drop / "second.json").write_bytes(JOB)
        (engine.spool.run / "first" / "ends").write_text('{"code": 0}')
        await until(lambda: "second" in engine.dispatcher.runs)
