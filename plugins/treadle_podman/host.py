"""A container's processes, if they are on this host: the kernel reports their end independently of Podman.

`inspected` is a container as calls.inspect returns it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_local(inspected: Mapping[str, Any]) -> bool:
    """Return whether a container's processes are on this host, not on that of a remote service."""
    return Path(inspected.get("StaticDir") or "/nowhere").is_dir()


def is_monitored(inspected: Mapping[str, Any]) -> bool:
    """Return whether a container's monitor (conmon) is alive."""
    try:
        command = Path(f"/proc/{inspected['State'].get('ConmonPid') or 0}/cmdline").read_bytes()
    except OSError:
        return False
    return inspected["Id"].encode() in command


def open_first_process(inspected: Mapping[str, Any]) -> int | None:
    """Return a pidfd of a container's first process, or None if it does not run on this host.

    The caller closes it. The process's cgroup is checked after the pidfd is open, since the kernel may have
    given the pid to another process.
    """
    pid = inspected["State"].get("Pid") or 0
    try:
        pidfd = os.pidfd_open(pid)
        if inspected["Id"] in Path(f"/proc/{pid}/cgroup").read_text("utf-8"):
            return pidfd
    except (OSError, ValueError):
        return None
    os.close(pidfd)
    return None


async def process_end(pidfd: int) -> None:
    """Wait for the end of a process."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
