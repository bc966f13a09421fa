"""The processes of the fork server's tests, and programs that many of them run."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import psutil

from treadle import Attempt

GATED = "import os\ndef run():\n    os.open(os.environ['GATE'], os.O_RDONLY)\n    return 1\n"
"""It ends when the pipe GATE is opened for writing."""
FORKED = "import sys\ndef run():\n    return 'treadle_inside.fork_server' in sys.modules\n"


def servers(mark: object) -> list[psutil.Process]:
    """Return the live fork servers of services that have this mark in their variable FOR."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        forked = "treadle_inside.fork_server" in " ".join(process.info["cmdline"] or [])
        if forked and (process.info["environ"] or {}).get("FOR") == str(mark):
            with suppress(OSError):  # a supervisor has a PID namespace of its own
                if namespace_of(process.pid) == namespace_of(os.getpid()):
                    found.append(process)
    return found


def namespace_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()


def inside(namespace: Path) -> list[int]:
    """Return the processes of a PID namespace."""
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        with suppress(OSError):
            if path.readlink() == namespace:
                found.append(int(path.parts[2]))
    return found


def supervisor_of(attempt: Attempt) -> int:
    """Return the pid of the supervisor of an attempt."""
    supervisor = json.loads((attempt.folder / "process.json").read_bytes())
    assert isinstance(supervisor["pid"], int)
    return supervisor["pid"]
