"""Attempts in containers, as the engine starts them, and what the container engine's own client shows."""

from __future__ import annotations

import asyncio
import subprocess
from functools import partial

from tests.images import client
from treadle import Attempt
from treadle_containers import Container, ContainerRuntime


def ids(kind: str, attempt: Attempt) -> list[str]:
    label = f"label=treadle.spool={attempt.spool_id}"
    command = [client(kind), "ps", "-a", "-q", "--no-trunc", "--filter", label]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


async def start(runtime: ContainerRuntime, attempt: Attempt) -> None:
    """Start an attempt as the engine does."""
    await runtime.start(attempt, await Container().command(attempt))


async def run(kind: str, *arguments: str) -> str:
    """Run the engine's own client and return its standard output."""
    ran = partial(subprocess.run, capture_output=True, text=True, check=True)
    return (await asyncio.to_thread(ran, [client(kind), *arguments])).stdout
