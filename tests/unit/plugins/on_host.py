"""The program `python-template` and the runtime `host` together, as the engine uses them."""

from __future__ import annotations

from treadle import Attempt, Command, Exit, Service
from treadle_python import HostRuntime, PythonTemplate


class PythonOnHost(HostRuntime):
    """The host's runtime, which makes the commands of python-template itself."""

    def __init__(self, contain: str = "auto", *, jobs: int = 1, idle: float = 30.0) -> None:
        super().__init__(contain, idle=idle)
        self._program = PythonTemplate(jobs=jobs)

    def check(self, service: Service) -> None:
        super().check(service)
        self._program.check(service)

    async def start(self, attempt: Attempt, command: Command | None = None) -> None:
        await super().start(attempt, command or await self._program.command(attempt))

    async def wait(self, attempt: Attempt) -> Exit:
        return self._program.returned(attempt, await super().wait(attempt))
