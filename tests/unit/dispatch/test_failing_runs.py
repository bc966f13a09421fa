"""A run that fails in whatever way ends its job and frees its slot."""

from __future__ import annotations

import pytest

from treadle import Exit, Reason, State
from treadle.dispatch.job_run import JobRun
from treadle.dispatch.outcome import conclude
from treadle.dispatch.output import Findings
from treadle.testing import ended, make_attempt, result, submit, until

RUNTIME = """
from datetime import datetime
from pathlib import Path
from treadle import Exit, Reason, Runtime, hookimpl

class Faulty(Runtime):
    name = "faulty"

    async def start(self, attempt, command):
        pass

    async def wait(self, attempt):
        {wait}

    async def stop(self, attempt, grace):
        {stop}

@hookimpl
def register_runtimes(settings):
    return [Faulty()]
"""
PARSER = """
from treadle import OutputParser, hookimpl

class Faulty(OutputParser):
    name = "faulty"

    def __init__(self):
        {init}

    def feed(self, line):
        {feed}

    def finish(self):
        return ()

@hookimpl
def register_parsers(settings):
    return [Faulty]
"""


async def slots_are_free(engine):
    await until(lambda: not engine.dispatcher.runs, "no run")
    health = engine.health()
    assert (health.ready, health.stuck, health.running) == (True, 0, 0), health
    for _ in range(2):
        assert (await ended(engine, await submit(engine, service="other"))).status is State.SUCCEEDED


@pytest.mark.parametrize(
    ("wait", "stop"),
    [
        ("raise ValueError('my bug')", "raise ValueError('my other bug')"),
        ("raise FileNotFoundError('gone')", "raise FileNotFoundError('gone')"),
        ("return None", "pass"),
        ("return Exit('ended')", "pass"),
        ("return Exit(Reason.ENDED, code='0')", "pass"),
        ("return Exit(Reason.ENDED, code=2**70)", "pass"),
        ("return Exit(Reason.ENDED, code=0, ended=datetime.now())", "pass"),
        ("return Exit(Reason.ENDED, code=0, returned='x')", "pass"),
        ("return Exit(Reason.ENDED, code=0, detail=7)", "pass"),
    ],
)
async def test_a_runtime_that_fails_or_returns_nonsense_fails_its_job_alone(harness, wait, stop):
    harness.plugin("faulty", RUNTIME.replace("{wait}", wait).replace("{stop}", stop))
    harness.service(runtime="faulty")
    harness.service("other")
    async with harness.engine(jobs=1) as engine:
        job = await submit(engine)
        assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == "RUNTIME_ERROR"
        await slots_are_free(engine)


async def test_a_detail_that_is_no_unicode_is_told_all_the_same(harness):
    exit_ = r"return Exit(Reason.ENDED, code=1, detail='caf\udce9')"
    harness.plugin("faulty", RUNTIME.replace("{wait}", exit_).replace("{stop}", "pass"))
    harness.service(runtime="faulty")
    harness.service("other")
    async with harness.engine(jobs=1) as engine:
        job = await submit(engine)
        assert (await ended(engine, job)).attempts[0].detail == r"caf\udce9"
        assert result(engine, job) == {"code": "EXIT_1", "detail": r"caf\udce9"}
        await slots_are_free(engine)


@pytest.mark.parametrize(
    ("init", "feed", "code"),
    [
        ("raise ValueError('my bug')", "return ()", "PARSER_ERROR"),
        ("pass", "raise ValueError('my bug')", "INVALID_RESULT"),
        ("pass", "return ['x']", "INVALID_RESULT"),
        ("pass", "return 7", "INVALID_RESULT"),
    ],
)
async def test_a_parser_that_fails_or_finds_nonsense_fails_its_job_alone(harness, init, feed, code):
    harness.plugin("faulty", PARSER.replace("{init}", init).replace("{feed}", feed))
    harness.service(toml='parser = "faulty"', prints="x\n")
    harness.service("other")
    async with harness.engine(jobs=1) as engine:
        job = await submit(engine)
        assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == code
        await slots_are_free(engine)


async def test_a_bug_of_ours_ends_the_job_and_stops_its_program(harness, monkeypatch):
    harness.service(waits=True)
    harness.service("other")

    def fail(self, attempt, runtime):
        raise AssertionError("a bug")

    async with harness.engine(jobs=1) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(JobRun, "_new_run", fail)
            job = await submit(engine)
            assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == "ENGINE_ERROR"
        assert [call.method for call in engine.plugins.runtimes["scripted"].calls] == ["stop", "cleanup"]
        await slots_are_free(engine)


@pytest.mark.parametrize("reason", ["LOST", "ENDED"])
@pytest.mark.parametrize(
    "deed",
    [
        "shutil.rmtree(attempt.folder)",
        "shutil.rmtree(attempt.folder); attempt.folder.touch()",
        "shutil.rmtree(attempt.folder); attempt.folder.symlink_to(attempt.folder)",
        "shutil.rmtree(attempt.folder); attempt.folder.symlink_to(attempt.folder.parent)",
    ],
)
async def test_a_job_whose_folder_is_gone_fails_and_a_next_attempt_is_not_made(harness, deed, reason):
    wait = f"import shutil; {deed}; return Exit(Reason.{reason}, code=0)"
    harness.plugin("faulty", RUNTIME.replace("{wait}", wait).replace("{stop}", "pass"))
    harness.service(runtime="faulty")
    harness.service("other")
    async with harness.engine(jobs=1) as engine:
        job = await submit(engine)
        assert len((await ended(engine, job)).attempts) == 1
        assert result(engine, job)["code"] == "FOLDER_DESTROYED"
        assert {path.name for path in (engine.spool.done / job).iterdir()} == {
            "job.json",
            "result.json",
            "status.json",
        }
        await slots_are_free(engine)


async def test_health_tells_of_runs_that_nothing_follows(harness):
    harness.service(waits=True)
    async with harness.engine(jobs=2) as engine:
        job = await submit(engine)
        await until(lambda: job in engine.dispatcher.runs)
        (task,) = engine.dispatcher._tasks
        name = engine.dispatcher._tasks.pop(task)
        health = engine.health()
        engine.dispatcher._tasks[task] = name
        assert (health.ready, health.stuck) == (False, 1)
        assert health.problems == (f"job {job} runs, and nothing follows it",)
        assert engine.health().ready


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (9, "SIGKILL"),
        (34, "SIGRTMIN"),
        (40, "SIGRTMIN+6"),
        (64, "SIGRTMAX"),
        (32, "signal 32"),
        (99, "signal 99"),
    ],
)
def test_every_signal_explains_a_failure(tmp_path, number, name):
    exit_ = Exit(Reason.ENDED, signal=number)
    outcome = conclude(make_attempt(tmp_path), exit_, Findings(), None, 1000)
    assert outcome.result == b'{"code":"EXIT_%d","detail":"killed by %s"}' % (128 + number, name.encode())
