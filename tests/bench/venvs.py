"""Virtual environments of the benchmark's own: what is compared with is never a dependency."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def make_venv(path: Path, *packages: str) -> Path:
    """Return a virtual environment with some packages, made if it is not there; raise RuntimeError."""
    if not await asyncio.to_thread(path.exists):
        await _succeed(sys.executable, "-m", "venv", str(path))
        await _succeed(str(path / "bin" / "pip"), "install", "--quiet", *packages)
    return path


async def _succeed(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {errors.decode().strip()[-300:]}")
