"""What somebody does who tries a program without Treadle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PLAIN = """
import json, sys
from src.program import run
value = run({}, {})
if value is not None:
    with open(sys.argv[1], "w") as file:
        json.dump(value, file)
"""


def plain_run(project: Path, result: Path) -> subprocess.CompletedProcess[str]:
    """Call the function of a project without any input; its value goes to the file `result`."""
    command = [sys.executable, "-c", _PLAIN, str(result)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
