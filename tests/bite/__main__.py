"""Proof that the tests bite: what keeps the promise is taken out, piece by piece, and some test must fail.

`python -m tests.bite` prints the table of tests/README.md; with words, only for what contains one of them.
Each change is made in a copy of the project; its exit code is 1 if a change goes unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.bite import CHANGES, ROOT, Change


def caught(change: Change) -> str | None:
    """Make the change in a copy and return the first test that fails there, or None if none does."""
    with tempfile.TemporaryDirectory(prefix="treadle-bite-") as folder:
        copy = Path(folder) / "treadle"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        change.apply(copy)
        options = ["-x", "-q", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, *change.tests.split()]
        path = os.pathsep.join(str(copy / each) for each in ("engine", "spool", "plugins", "."))
        try:
            ran = subprocess.run(
                [*command, "-k", change.select] if change.select else command,
                cwd=copy,
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            _end_processes_of(copy)
    found = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    if ran.returncode == 1 and found:
        return found[1]
    if ran.returncode == 0:
        return None
    raise RuntimeError(f"{change.what}: pytest could not run: {ran.stdout}{ran.stderr}")


def _end_processes_of(copy: Path) -> None:
    """Kill what runs the code of this copy: a change may have taken out what ends it."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if any(os.fsencode(copy) in (process / each).read_bytes() for each in ("cmdline", "environ")):
                os.kill(int(process.name), signal.SIGKILL)


def main(words: list[str]) -> int:
    """Print the table; return 1 if something went unnoticed."""
    unnoticed = 0
    sys.stdout.write("| taken out | noticed by |\n| --- | --- |\n")
    for change in CHANGES:
        if words and not any(word in change.what for word in words):
            continue
        test = caught(change)
        unnoticed += test is None
        sys.stdout.write(f"| {change.what} | {f'`{test}`' if test else '**no test**'} |\n")
        sys.stdout.flush()
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
