"""Containers without Treadle: `docker run --rm` and `podman run --rm` of the same image."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.images import IMAGE, client, import_image

_PRINTS = 'PlanQK:Job:Result: {"sum": 42}'


@dataclass
class RunLane:
    """One `run --rm` for each job."""

    name: str
    command: list[str]
    at_a_time: int | None = 4

    async def run(self, data: dict[str, object]) -> object:
        """Run one container and return what it prints."""
        process = await asyncio.create_subprocess_exec(*self.command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return json.loads(out.partition(b":Result:")[2])


def run_lane(engine: str) -> RunLane:
    """Return the lane of an engine."""
    command = [client(engine), "run", "--rm", "--network", "none", IMAGE, "/bin/echo", _PRINTS]
    return RunLane(f"{engine} run --rm", command)


def container_project(folder: Path, engine: str) -> Path:
    """Write a service that prints the result, and return its folder."""
    folder.mkdir(parents=True)
    command = json.dumps(["/bin/echo", _PRINTS])
    (folder / "treadle.toml").write_text(f'runtime = "{engine}"\nimage = "{IMAGE}"\ncommand = {command}\n')
    return folder


async def available(engine: str) -> str | None:
    """Make the image known to an engine; return why that can't be done."""
    if shutil.which(engine) is None:
        return f"there is no {engine} on this host"
    try:
        await asyncio.to_thread(import_image, engine)
    except (OSError, RuntimeError) as error:
        return str(error)
    return None
