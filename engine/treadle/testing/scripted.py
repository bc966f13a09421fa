"""A runtime and a program that do what a test says: in the table `[script]` of a service's treadle.toml.

| key | read by | effect |
| --- | --- | --- |
| `start` | runtime | `error`: `start` raises StartError; `bug`: ZeroDivisionError; `slow`: it never returns |
| `prints` | runtime | this text is the attempt's standard output, complete when `start` returns |
| `waits` | runtime | `true`: the attempt lasts until `end` or `stop`; else it ends at once, with code 0 |
| `argv` | program | the arguments of the command; without it, those are `true` |
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import orjson

from treadle.interface.attempt import Attempt, Exit, Reason
from treadle.interface.program import Command, Program
from treadle.interface.runtime import Runtime, StartError
from treadle.interface.service import Service

_EXIT = "scripted-exit.json"
"""The file that ends an attempt, in its folder: the fields of its Exit."""
_POLL_INTERVAL = 0.01


class Call(NamedTuple):
    """One call of a ScriptedRuntime's method, as the engine made it."""

    method: str
    """`start`, `stop` or `cleanup`."""
    job: str
    number: int
    place: str = "run"
    """The folder of the spool that held the attempt: `run` or `done`."""


class ScriptedRuntime(Runtime):
    """A runtime that starts nothing, and does with each attempt what the service's script says.

    As with any runtime, all that it knows of an attempt is in the attempt's folder, so another instance, in a
    later engine, adopts what this one has started. `calls` and `commands` are of this instance alone, for the
    test to look at.
    """

    name = "scripted"
    options: ClassVar[Mapping[str, type]] = {"script": dict}

    def __init__(self) -> None:
        self.calls: list[Call] = []
        """The calls of `start`, `stop` and `cleanup`, in their order."""
        self.commands: dict[str, Command] = {}
        """The command of each job's newest start."""

    async def start(self, attempt: Attempt, command: Command) -> None:
        """Record the call, and fail, print or hang as the script says; adopt what was started before."""
        self._record("start", attempt)
        self.commands[attempt.job.id] = command
        script = _script(attempt.service)
        match script.get("start"):
            case "error":
                raise StartError("NOT_TODAY", "the machine is closed")
            case "bug":
                raise ZeroDivisionError("a bug")
            case "slow":
                await asyncio.Event().wait()
        if not attempt.stdout.exists():
            attempt.stdout.write_text(script.get("prints", ""), "utf-8")

    async def wait(self, attempt: Attempt) -> Exit:
        """Return the exit that `end` or `stop` has written; at once, if the script does not wait for one."""
        path = attempt.folder / _EXIT
        if not path.exists() and not _script(attempt.service).get("waits"):
            return Exit(Reason.ENDED, code=0)
        while not path.exists():  # noqa: ASYNC110  # the test, or another engine, writes a file
            await asyncio.sleep(_POLL_INTERVAL)
        fields = orjson.loads(path.read_bytes())
        return Exit(Reason(fields.pop("reason")), **fields)

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Record the call, and end the attempt by SIGTERM, unless it has ended."""
        self._record("stop", attempt)
        if not (attempt.folder / _EXIT).exists():
            self.end(attempt.folder, signal=15)

    async def cleanup(self, attempt: Attempt) -> None:
        """Record the call."""
        self._record("cleanup", attempt)

    @staticmethod
    def end(folder: Path, reason: Reason = Reason.ENDED, **fields: Any) -> None:
        """End the attempt in this folder; `fields` are those of its Exit, such as `code`.

        Called by the test, in any process. The exit is a file, so it survives a restart of the engine.
        """
        draft = folder / f".{_EXIT}"
        draft.write_bytes(orjson.dumps({"reason": reason, **fields}))
        draft.replace(folder / _EXIT)

    def _record(self, method: str, attempt: Attempt) -> None:
        self.calls.append(Call(method, attempt.job.id, attempt.number, attempt.folder.parent.name))


class ScriptedProgram(Program):
    """A program whose command the test gives: to its constructor, or as `argv` in the service's script."""

    name = "scripted"
    options: ClassVar[Mapping[str, type]] = {"script": dict}

    def __init__(self, command: Command | None = None) -> None:
        """Return `command` for every attempt; None: the command is made of the script."""
        self._command = command

    async def command(self, attempt: Attempt) -> Command:
        """Return the command of the constructor, or the script's `argv` in the service's environment."""
        argv = _script(attempt.service).get("argv", ("true",))
        return self._command or Command(argv=tuple(argv), environment=attempt.service.environment)


def _script(service: Service) -> Mapping[str, Any]:
    script: Mapping[str, Any] = service.options.get("script", {})
    return script
