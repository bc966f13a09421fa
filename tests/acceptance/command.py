"""The command line in a process of its own, as a user runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.server import TREADLE

Ran = subprocess.CompletedProcess[str]


def treadle(
    *arguments: object, cwd: Path | None = None, around: Sequence[str] = (), **environment: str
) -> Ran:
    """Run a command to its end; `around` is a command before it, such as `unshare`."""
    return subprocess.run(
        [*around, str(TREADLE), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
        env={**os.environ, **environment},
    )


def assert_one_clear_line(ran: Ran, words: str = "") -> None:
    """Assert that a command has failed, with one line that says why, and no answer."""
    assert ran.returncode not in {0, None}, ran.stdout
    assert ran.stdout == ""
    (line,) = [line for line in ran.stderr.splitlines() if not line.startswith(("Usage:", "Try ")) and line]
    assert line.startswith("Error: ")
    assert "a fault of treadle" not in line
    assert words in line, line
