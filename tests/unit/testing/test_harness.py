"""The harness, as the author of a plugin uses it."""

from __future__ import annotations

import pytest

from treadle import Reason, State
from treadle.testing import Call, calls, end, ended, log, result, submit, until
from treadle_spool import InvalidDescriptor

OBSERVER = """
from treadle import hookimpl

@hookimpl
def validate_job(job, service):
    return ["not today"] if job.priority == 7 else []
"""
RUNTIME = """
import subprocess
from treadle import Exit, Reason, Runtime, hookimpl

class Blocking(Runtime):
    name = "blocking"
    async def start(self, attempt, command):
        attempt.stdout.write_bytes(subprocess.run(command.argv, capture_output=True).stdout)
    async def wait(self, attempt): return Exit(Reason.ENDED, code=0)
    async def stop(self, attempt, grace): ...

@hookimpl
def register_runtimes(settings):
    return [Blocking()]
"""


async def test_a_job_runs_in_a_real_engine(harness):
    harness.service(prints="PlanQK:Job:Result: 42\n")
    async with harness.engine() as engine:
        job = await submit(engine, data={"n": 1}, labels={"a": "b"})
        status = await ended(engine, job)
        assert (status.status, status.labels) == (State.SUCCEEDED, {"a": "b"})
        assert result(engine, job) == 42
        assert log(engine, job) == b"PlanQK:Job:Result: 42\n"
        assert log(engine, job, "stderr") == b""
        assert b'"data":{"n":1}' in (engine.spool.done / job / "job.json").read_bytes()
        await until(lambda: calls(engine) == [Call("start", job, 1), Call("cleanup", job, 1, "done")])


async def test_a_job_that_waits_is_ended_by_the_test_in_a_later_engine(harness):
    harness.service(waits=True, prints="begun\n")
    async with harness.engine() as engine:
        job = await submit(engine, "mine")
        await until(lambda: log(engine, job), "its output")
    async with harness.engine() as engine:
        end(engine, job, code=3)
        assert (await ended(engine, job)).status is State.FAILED
        assert result(engine, job)["code"] == "EXIT_3"


async def test_an_end_has_the_reason_that_the_test_gives(harness):
    harness.service(waits=True)
    async with harness.engine(attempts=1) as engine:
        job = await submit(engine)
        await until(lambda: calls(engine))
        end(engine, job, Reason.LOST)
        assert (await ended(engine, job)).attempts[0].reason == "lost"


async def test_a_job_that_does_not_end_fails_the_test(harness):
    harness.service(waits=True)
    async with harness.engine() as engine:
        with pytest.raises(AssertionError, match="job mine has not ended"):
            await ended(engine, await submit(engine, "mine"), timeout=0.05)


async def test_a_plugin_of_the_test_is_loaded(harness):
    harness.plugin("observer", OBSERVER)
    harness.service()
    async with harness.engine() as engine:
        with pytest.raises(InvalidDescriptor, match="not today"):
            await submit(engine, priority=7)


async def test_a_runtime_of_the_test_gets_the_command_of_the_script(harness):
    harness.plugin("blocking", RUNTIME)
    harness.service(runtime="blocking", argv=["echo", "PlanQK:Job:Result: 1"])
    async with harness.engine() as engine:
        job = await submit(engine)
        await ended(engine, job)
        assert result(engine, job) == 1
