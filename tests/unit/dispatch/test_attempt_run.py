"""An attempt's program and runtime: whose failure it is, and which interface a runtime has."""

from __future__ import annotations

import pytest

from treadle import Exit, Reason, Runtime
from treadle.interface.runtime import takes_command
from treadle.testing import calls, ended, result, submit, until
from treadle_spool import uptime

PROGRAM = """
from treadle import Command, Program, hookimpl

class Faulty(Program):
    name = "faulty"

    async def command(self, attempt):
        {command}

    def returned(self, attempt, exit_):
        {returned}

@hookimpl
def register_programs(settings):
    return [Faulty()]
"""
GOOD = "return Command(argv=('true',), environment={})"


@pytest.mark.parametrize(
    ("command", "returned", "detail"),
    [
        ("raise ValueError('my bug')", "return exit_", "program faulty failed: my bug"),
        ("return None", "return exit_", "its command is None, and not a Command"),
        ("return Command(argv=(1,), environment={})", "return exit_", "that are not strings"),
        ("return Command(argv=(), environment={})", "return exit_", "has no arguments"),
        (GOOD, "raise ValueError('my bug')", "program faulty failed: my bug"),
    ],
)
async def test_a_program_s_failure_is_its_own_and_ends_its_job_alone(harness, command, returned, detail):
    harness.plugin("faulty", PROGRAM.replace("{command}", command).replace("{returned}", returned))
    harness.service(program="faulty")
    harness.service("other")
    async with harness.engine(jobs=1) as engine:
        for _ in range(2):
            failed = await submit(engine)
            assert (await ended(engine, failed)).status == "FAILED"
            failure = result(engine, failed)
            assert (failure["code"], detail in failure["detail"]) == ("PROGRAM_ERROR", True), failure
        assert (await ended(engine, await submit(engine, service="other"))).status == "SUCCEEDED"


class Quiet(Runtime):
    name = "quiet"

    async def start(self, attempt, command):
        """Start nothing."""

    async def wait(self, attempt):
        return Exit(Reason.ENDED)

    async def stop(self, attempt, grace):
        """Stop nothing."""


class Alone(Quiet):
    async def start(self, attempt): ...


class AloneWithOptions(Quiet):
    async def start(self, attempt, retries=3, *, quick=False): ...


class OtherName(Quiet):
    async def start(self, attempt, what): ...


class AnyArguments(Quiet):
    async def start(self, *arguments): ...


@pytest.mark.parametrize(
    ("kind", "takes"),
    [(Quiet, True), (Alone, False), (AloneWithOptions, False), (OtherName, True), (AnyArguments, True)],
)
def test_the_signature_of_start_tells_the_interface(kind, takes):
    assert takes_command(kind()) is takes


async def test_a_timeout_is_noticed_after_the_host_was_suspended(harness, monkeypatch):
    """The timers of the event loop stand still meanwhile; the kernel's clock goes on."""
    monkeypatch.setattr("treadle.dispatch.attempt_run._LONGEST_SLEEP", 0.02)
    harness.service(toml="timeout = 500", waits=True)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: calls(engine))
        monkeypatch.setattr("treadle.dispatch.attempt_run.uptime", lambda: uptime() + 1000)
        assert (await ended(engine, job)).attempts[0].reason == "timed-out"
