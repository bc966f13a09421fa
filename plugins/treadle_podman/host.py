"""A container's processes, where they are on this host: the kernel tells of them, whatever Podman does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_here(found: Mapping[str, Any]) -> bool:
    """Return whether a container's processes are on this host, and not on that of a remote service."""
    return Path(found.get("StaticDir") or "/nowhere").is_dir()


def is_monitored(found: Mapping[str, Any]) -> bool:
    """Return whether a container's monitor is alive."""
    try:
        line = Path(f"/proc/{found['State'].get('ConmonPid') or 0}/cmdline").read_bytes()
    except OSError:
        return False
    return found["Id"].encode() in line


def open_first_process(found: Mapping[str, Any]) -> int | None:
    """Return a pidfd of a container's first process, if that runs on this host."""
    pid = found["State"].get("Pid") or 0
    try:
        pidfd = os.pidfd_open(pid)
        if found["Id"] in Path(f"/proc/{pid}/cgroup").read_text("utf-8"):
            return pidfd
    except (OSError, ValueError):
        return None
    os.close(pidfd)
    return None


async def gone(pidfd: int) -> None:
    """Wait for the end of a process."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(pidfd, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(pidfd)
