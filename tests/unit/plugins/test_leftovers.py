"""What may be alive of an attempt is looked for among all processes, which come and go meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from treadle_python.leftovers import kill_marked


def test_a_process_with_the_mark_is_killed_and_one_that_has_gone_is_no_error(monkeypatch):
    listed = Path.iterdir
    gone = Path("/proc", "1" * 9)
    monkeypatch.setattr(Path, "iterdir", lambda path: [gone, *listed(path)])  # it has ended since
    name, value = "TREADLE_ATTEMPT", f"test/{os.getpid()}"
    with subprocess.Popen(["sleep", "60"], env={name: value}) as process:
        kill_marked(f"{name}={value}")
        assert process.wait(10) == -signal.SIGKILL
