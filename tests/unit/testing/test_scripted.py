"""The scripted runtime and program, without an engine."""

from __future__ import annotations

import asyncio

import pytest

from treadle import Command, Reason, Service, StartError
from treadle.testing import Call, ScriptedProgram, ScriptedRuntime, make_attempt

COMMAND = Command(argv=("true",), environment={})


@pytest.fixture
def attempt(tmp_path):
    """Return a function that makes an attempt of a service with a script."""

    def make(**script: object):
        service = Service("test", tmp_path, environment={"A": "1"}, options={"script": script})
        return make_attempt(tmp_path, service=service)

    return make


async def test_an_attempt_prints_and_ends(attempt):
    runtime, made = ScriptedRuntime(), attempt(prints="hello\n")
    await runtime.start(made, COMMAND)
    exit_ = await runtime.wait(made)
    assert (exit_.reason, exit_.code, made.stdout.read_text()) == (Reason.ENDED, 0, "hello\n")
    assert (runtime.calls, runtime.commands) == ([Call("start", "job", 1)], {"job": COMMAND})


@pytest.mark.parametrize(("start", "error"), [("error", StartError), ("bug", ZeroDivisionError)])
async def test_a_start_fails_as_the_script_says(attempt, start, error):
    made = attempt(start=start)
    with pytest.raises(error):
        await ScriptedRuntime().start(made, COMMAND)
    assert not made.stdout.exists()


async def test_a_slow_start_ends_when_it_is_cancelled(attempt):
    starting = asyncio.create_task(ScriptedRuntime().start(attempt(start="slow"), COMMAND))
    done, _ = await asyncio.wait([starting], timeout=0.05)
    assert not done
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_an_attempt_that_waits_ends_when_the_test_says_so(attempt):
    runtime, made = ScriptedRuntime(), attempt(waits=True)
    await runtime.start(made, COMMAND)
    waiting = asyncio.create_task(runtime.wait(made))
    ScriptedRuntime.end(made.folder, Reason.LOST, detail="gone")
    exit_ = await waiting
    assert (exit_.reason, exit_.detail) == (Reason.LOST, "gone")


async def test_another_instance_adopts_what_was_started(attempt):
    first, second, made = ScriptedRuntime(), ScriptedRuntime(), attempt(waits=True, prints="once")
    for runtime in (first, second):
        await runtime.start(made, COMMAND)
    assert made.stdout.read_text() == "once"
    await second.stop(made, 0.1)
    assert (await first.wait(made)).signal == 15


async def test_a_stop_leaves_the_exit_of_an_attempt_that_has_ended(attempt):
    runtime, made = ScriptedRuntime(), attempt(waits=True)
    ScriptedRuntime.end(made.folder, code=3)
    await runtime.stop(made, 0.1)
    assert (await runtime.wait(made)).code == 3


async def test_a_program_returns_the_command_that_the_test_gives(attempt):
    assert await ScriptedProgram(COMMAND).command(attempt()) is COMMAND
    made = await ScriptedProgram().command(attempt(argv=["echo", "1"]))
    assert (made.argv, made.environment) == (("echo", "1"), {"A": "1"})
