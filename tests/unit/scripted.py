"""Runtimes that do what a test tells them, on a real spool and a real watcher."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from treadle import Settings
from treadle.engine import Engine
from treadle_spool import Descriptor, Status

PLUGIN = '''
"""A runtime whose attempts last until their folder has a file `ends`, written by the test."""

import asyncio
import json

from treadle import Exit, Reason, Runtime, StartError, hookimpl


class Scripted(Runtime):
    name = "scripted"
    options = {"script": dict}
    calls = []
    stopped = set()

    async def start(self, attempt):
        self.calls.append(("start", attempt.job.id, attempt.number))
        script = attempt.service.options.get("script", {})
        if script.get("start") == "error":
            raise StartError("NOT_TODAY", "the machine is closed")
        if script.get("start") == "bug":
            raise ZeroDivisionError("a bug")
        if script.get("start") == "slow":
            await asyncio.sleep(600)
        with attempt.stdout.open("a") as file:
            file.write(script.get("prints", ""))

    async def wait(self, attempt):
        ends = attempt.folder / "ends"
        while not ends.exists():
            if attempt.job.id in self.stopped:
                return Exit(Reason.ENDED, signal=15)
            if attempt.service.options.get("script", {}).get("waits") != "for the test":
                return Exit(Reason.ENDED, code=0)
            await asyncio.sleep(0.01)
        fields = json.loads(ends.read_bytes())
        return Exit(Reason(fields.pop("reason", "ended")), **fields)

    async def stop(self, attempt, grace):
        self.calls.append(("stop", attempt.job.id, attempt.number))
        self.stopped.add(attempt.job.id)

    async def cleanup(self, attempt):
        self.calls.append(("cleanup", attempt.job.id, attempt.folder.parent.name))


@hookimpl
def register_runtimes(settings):
    return [Scripted()]
'''


class Bench:
    """Makes engines on one spool, with the scripted runtime and whatever plugins a test adds."""

    def __init__(self, tmp_path: Path) -> None:
        self.plugins = tmp_path / "plugins"
        self.plugins.mkdir()
        self.projects = tmp_path / "projects"
        self.spool = tmp_path / "spool"
        self.plugin("scripted", PLUGIN)

    def plugin(self, name: str, code: str) -> None:
        (self.plugins / f"{name}.py").write_text(code)

    def service(self, name: str = "test", toml: str = "", **script: str) -> None:
        project = self.projects / name
        project.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {json.dumps(value)}" for key, value in script.items()]
        (project / "treadle.toml").write_text(
            "\n".join(['runtime = "scripted"', toml, "[script]", *lines]), "utf-8"
        )

    def settings(self, **changes: Any) -> Settings:
        settings = Settings(
            spool=self.spool, services=self.projects, plugins_dir=self.plugins, disk_reserve=0, grace=0.1
        )
        return dataclasses.replace(settings, **changes)

    @asynccontextmanager
    async def engine(self, **changes: Any) -> AsyncIterator[Engine]:
        async with Engine(self.settings(**changes)) as engine:
            yield engine


async def submit(engine: Engine, name: str | None = None, service: str = "test", **fields: Any) -> str:
    return (await engine.submit(Descriptor(service=service, **fields), name)).id


async def ended(engine: Engine, job: str) -> Status:
    status = await engine.completions.status(job, 20)
    assert status.status.ended, status
    return status


async def until(condition: Callable[[], object], what: str = "it", patience: float = 20) -> None:
    try:
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110  # what only files tell
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {patience} s: {what}") from None


def result(engine: Engine, job: str) -> Any:
    return json.loads((engine.spool.done / job / "result.json").read_bytes())


def calls(engine: Engine) -> list[tuple[object, ...]]:
    runtime: Any = engine.plugins.runtimes["scripted"]
    return list(runtime.calls)
