"""Run the one job of a folder and print its result; tests start it as a process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.unit.plugins.on_host import PythonOnHost
from treadle import Service
from treadle.testing import make_attempt


async def main(folder: Path, project: Path, environment: dict[str, str], start: str = "fork") -> None:
    """Run the job as an engine does."""
    runtime = PythonOnHost("auto", idle=0.2)
    service = Service("test", project, environment=environment, options={"start": start})
    attempt = make_attempt(folder / "spool", service=service)
    await runtime.start(attempt)
    exit_ = await runtime.wait(attempt)
    await runtime.close()
    assert exit_.returned is not None, (exit_, attempt.stderr.read_text())
    sys.stdout.write(exit_.returned.read_text())


if __name__ == "__main__":
    variables = [each.split("=", 1) for each in sys.argv[4:]]
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), dict(variables), *sys.argv[3:4]))
