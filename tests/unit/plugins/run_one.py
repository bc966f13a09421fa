"""Run the one job of a folder and print its result; tests start it as a process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from treadle import Attempt, Job, Service
from treadle_python import PythonRuntime
from treadle_spool import now


async def main(folder: Path, project: Path) -> None:
    """Run the job as an engine does."""
    runtime = PythonRuntime("auto", idle=0.2)
    service = Service("test", project)
    attempt = Attempt(Job("job", "test", now(), 0, None, {}), service, folder, 1, str(folder), now())
    await runtime.start(attempt)
    exit_ = await runtime.wait(attempt)
    await runtime.close()
    assert exit_.returned is not None, (exit_, attempt.stderr.read_text())
    sys.stdout.write(exit_.returned.read_text())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
