r"""The harness: real engines on one temporary spool, with the plugins and services that a test writes.

    harness = EngineHarness(tmp_path)
    harness.plugin("mine", "from treadle import hookimpl ...")
    harness.service(prints="PlanQK:Job:Result: 42\n")
    async with harness.engine() as engine:
        job = await submit(engine)
        assert (await ended(engine, job)).status is State.SUCCEEDED
        assert result(engine, job) == 42

The engine runs in the test's event loop. Its plugins, watcher, spool and admission are the real ones; only
the scripted runtime runs nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson

from treadle.engine import Engine
from treadle.interface.attempt import Reason
from treadle.interface.settings import Settings
from treadle.testing.scripted import Call, ScriptedRuntime
from treadle_spool import Descriptor, Status
from treadle_spool.folder import RESULT

_PLUGIN = '''
"""The scripted runtime and program."""

from treadle import hookimpl
from treadle.testing import ScriptedProgram, ScriptedRuntime


@hookimpl
def register_runtimes(settings):
    return [ScriptedRuntime()]


@hookimpl
def register_programs(settings):
    return [ScriptedProgram()]
'''


class EngineHarness:
    """Makes engines on one spool, one after the other, as after a restart.

    Lives as long as its test. Nothing is running unless an `engine()` block is open.
    """

    def __init__(self, folder: Path) -> None:
        """Use an empty folder, such as pytest's `tmp_path`; the spool is made by the first engine."""
        self.spool = folder / "spool"
        self.projects = folder / "projects"
        self.plugins = folder / "plugins"
        self.plugin("scripted", _PLUGIN)

    def plugin(self, name: str, code: str) -> None:
        """Write a plugin of one file; engines that are made later load it."""
        self.plugins.mkdir(exist_ok=True)
        (self.plugins / f"{name}.py").write_text(code, "utf-8")

    def service(
        self,
        name: str = "test",
        toml: str = "",
        *,
        program: str = "scripted",
        runtime: str = "scripted",
        **script: Any,
    ) -> Path:
        """Write a service's project, or write it anew, and return its folder; later engines serve it.

        `toml` are further lines of its treadle.toml, and `script` the keys of the table `[script]`.
        """
        project = self.projects / name
        project.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in script.items()]
        head = [f'program = "{program}"', f'runtime = "{runtime}"', toml]
        (project / "treadle.toml").write_text("\n".join([*head, "[script]", *lines]), "utf-8")
        return project

    def settings(self, **changes: Any) -> Settings:
        """Return settings for an engine: no reserve on the disk, a grace period of 0.1 s, and the changes."""
        settings = Settings(
            spool=self.spool, services=self.projects, plugins_dir=self.plugins, disk_reserve=0, grace=0.1
        )
        return dataclasses.replace(settings, **changes)

    @asynccontextmanager
    async def engine(self, **settings: Any) -> AsyncIterator[Engine]:
        """Run an engine until the block is left; its running attempts wait for the next one."""
        async with Engine(self.settings(**settings)) as engine:
            yield engine


async def submit(
    engine: Engine,
    name: str | None = None,
    service: str = "test",
    data: object = None,
    params: object = None,
    **fields: Any,
) -> str:
    """Submit a job and return its id; `fields` are those of the descriptor, such as `timeout`.

    Raises what `Gateway.submit` raises, such as InvalidDescriptor: then the job is not accepted.
    """
    for key, value in (("data", data), ("params", params)):
        if value is not None:
            fields[key] = msgspec.Raw(orjson.dumps(value))
    return (await engine.submit(Descriptor(service=service, **fields), name)).id


async def ended(engine: Engine, job: str, timeout: float = 20.0) -> Status:
    """Wait for the end of a job and return its status, as status.json has it; the result is durable then.

    Raises AssertionError if the job has not ended after timeout seconds.
    """
    status = await engine.completions.status(job, timeout)
    assert status.status.ended, f"job {job} has not ended within {timeout:g} s: {status}"
    return status


def result(engine: Engine, job: str) -> Any:
    """Return the value of an ended job's result, or the body of its failure."""
    return orjson.loads((engine.spool.done / job / RESULT).read_bytes())


def log(engine: Engine, job: str, stream: str = "stdout") -> bytes:
    """Return what a running or ended job has printed so far to `stdout` or `stderr`."""
    for folder in (engine.spool.run, engine.spool.done):
        if (path := folder / job / f"{stream}.log").exists():
            return path.read_bytes()
    return b""


def end(engine: Engine, job: str, reason: Reason = Reason.ENDED, **fields: Any) -> None:
    """End the running attempt of a job whose script waits; `fields` are those of the Exit, such as `code`."""
    ScriptedRuntime.end(engine.spool.run / job, reason, **fields)


def calls(engine: Engine) -> list[Call]:
    """Return the calls that this engine has made so far of the scripted runtime's methods."""
    runtime = engine.plugins.runtimes["scripted"]
    assert isinstance(runtime, ScriptedRuntime)
    return list(runtime.calls)
