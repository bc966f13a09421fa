"""Proof that the tests bite: what keeps the promise is taken out, piece by piece, and some test must fail.

`python -m tests.bite` prints the table of tests/README.md; with words, only for what contains one of them.
Each change is made in a copy of the project; its exit code is 1 if a change goes unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SPOOL = "spool/treadle_spool"
IDENTITY = "plugins/treadle_python/treadle_inside/identity.py"
MATRIX = "tests/crash/test_crash_matrix.py"
RETURNED = "what_has_returned"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is taken out, and the tests that are expected to notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str
    select: str = ""

    def apply(self, root: Path) -> None:
        """Make the change below root; raise ValueError unless it has one place there."""
        path = root / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.what}: {self.file} has {text.count(self.old)} times {self.old!r}")
        path.write_text(text.replace(self.old, self.new), "utf-8")


def _no_follow(where: str, file: str, around: str, tests: str, select: str) -> Change:
    """Take one O_NOFOLLOW out of the expression that has it."""
    return Change(f"O_NOFOLLOW of {where}", file, around, around.replace("os.O_NOFOLLOW", "0"), tests, select)


CHANGES = (
    Change(
        "fsync of an accepted job's file",
        f"{SPOOL}/accept.py",
        "                files.sync()\n",
        "                pass\n",
        MATRIX,
        RETURNED,
    ),
    Change(
        "fsync of a file that is written at once",
        f"{SPOOL}/durable.py",
        "            write_all(fd, content)\n            os.fsync(fd)\n",
        "            write_all(fd, content)\n",
        "tests/unit/spool/test_durable.py",
    ),
    Change(
        "fsync of queue/ in accept",
        f"{SPOOL}/accept.py",
        "                self._sync()\n        except",
        "                pass\n        except",
        MATRIX,
        RETURNED,
    ),
    Change(
        "fsync of queue/ at the start",
        f"{SPOOL}/owner.py",
        '        """\n        durable.sync_folder(self.spool.queue)\n',
        '        """\n',
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "fsync of cancel/",
        f"{SPOOL}/spool.py",
        "            durable.sync_folder(self.cancel)\n",
        "",
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "fsync of run/<job> for a next attempt",
        f"{SPOOL}/owner.py",
        "folder / ATTEMPT)\n        durable.sync_folder(folder)\n",
        "folder / ATTEMPT)\n",
        MATRIX,
        RETURNED,
    ),
    Change(
        "fsync of run/<job> before the rename to done/",
        f"{SPOOL}/owner.py",
        "            durable.sync_folder(folder)\n            os.rename(",
        "            os.rename(",
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "fsync of an outcome's files",
        f"{SPOOL}/folder.py",
        "        files.sync()\n",
        "",
        MATRIX,
        RETURNED,
    ),
    Change(
        "fsync of done/ after the rename",
        f"{SPOOL}/owner.py",
        "            self._sync_done()\n",
        "            pass\n",
        MATRIX,
        RETURNED,
    ),
    Change(
        "fsync of done/ before an outcome is told",
        f"{SPOOL}/spool.py",
        "            durable.sync_folder(self.done)\n        return status",
        "            pass\n        return status",
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "fsync of done/ after a removal",
        f"{SPOOL}/retention.py",
        "        durable.sync_folder(spool.done)\n",
        "",
        MATRIX,
        RETURNED,
    ),
    Change(
        "fsync of bad/ before a file leaves its place",
        f"{SPOOL}/quarantine.py",
        "            durable.sync_folder(self._folder)\n",
        "            pass\n",
        "tests/unit/spool/test_drop.py",
    ),
    Change(
        "fsync of a new spool's folder",
        f"{SPOOL}/identity.py",
        "    durable.sync_folder(root)\n",
        "",
        MATRIX,
        "keeps_its_id",
    ),
    Change(
        "link, not rename, into queue/",
        f"{SPOOL}/accept.py",
        "os.link(draft.path, queued)",
        "os.rename(draft.path, queued)",
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "link, not rename, from queue/ in claim",
        f"{SPOOL}/owner.py",
        'os.link(f"{self._queue}/{name}.json", f"{folder}/{JOB}")',
        'os.rename(f"{self._queue}/{name}.json", f"{folder}/{JOB}")',
        f"tests/unit/spool/test_spool.py {MATRIX}",
        "claim",
    ),
    Change(
        "link, not rename, of a result that a program wrote",
        f"{SPOOL}/durable.py",
        "os.link(content, path, follow_symlinks=False)",
        "os.rename(content, path)",
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "link, not rename, of a new spool's identity",
        f"{SPOOL}/identity.py",
        "os.link(staged, root / IDENTITY)\n    staged.unlink()",
        "os.rename(staged, root / IDENTITY)",
        "tests/unit/spool/test_spool.py",
    ),
    Change(
        "link, not rename, of a supervisor's identity",
        IDENTITY,
        "os.link(draft, os.path.join(folder, name))",
        "os.rename(draft, os.path.join(folder, name)); open(draft, 'w').close()",
        "tests/unit/plugins/test_python_runtime.py",
    ),
    Change(
        "link, not rename, of the word that no supervisor may start",
        "plugins/treadle_python/supervisor_handle.py",
        "os.link(draft, folder / PROCESS)",
        "draft.rename(folder / PROCESS); draft.touch()",
        "tests/unit/plugins/test_python_runtime.py",
    ),
    Change(
        "the engine's lock",
        f"{SPOOL}/lock.py",
        "            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        "tests/unit/spool/test_lock.py",
    ),
    _no_follow(
        "the engine's lock",
        f"{SPOOL}/lock.py",
        "os.O_CLOEXEC | os.O_NOFOLLOW, 0o644",
        "tests/unit/spool/test_lock.py",
        "",
    ),
    _no_follow(
        "a result that is brought to the disk",
        f"{SPOOL}/durable.py",
        "os.O_RDONLY | os.O_NOFOLLOW",
        "tests/unit/spool/test_durable.py",
        "",
    ),
    _no_follow(
        "a dropped file",
        f"{SPOOL}/drop.py",
        "os.O_RDONLY | os.O_NOFOLLOW",
        "tests/unit/spool/test_drop.py",
        "",
    ),
    _no_follow(
        "a data pool",
        "engine/treadle/api/body.py",
        "os.O_DIRECTORY | os.O_NOFOLLOW",
        "tests/acceptance/test_data_pools.py",
        "",
    ),
    _no_follow(
        "a data pool's file",
        "engine/treadle/api/body.py",
        "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
        "tests/acceptance/test_data_pools.py",
        "",
    ),
    _no_follow(
        "a container's log",
        "plugins/treadle_containers/logs.py",
        "os.O_CLOEXEC | os.O_NOFOLLOW",
        "tests/unit/plugins/test_container_parts.py",
        "",
    ),
)


def caught(change: Change) -> str | None:
    """Make the change in a copy and return the first test that fails there, or None if none does."""
    with tempfile.TemporaryDirectory(prefix="treadle-bite-") as folder:
        copy = Path(folder) / "treadle"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        change.apply(copy)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            *change.tests.split(),
        ]
        path = os.pathsep.join(str(copy / each) for each in ("engine", "spool", "plugins", "."))
        ran = subprocess.run(
            [*command, "-k", change.select] if change.select else command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    if ran.returncode == 1 and found:
        return found[1]
    if ran.returncode == 0:
        return None
    raise RuntimeError(f"{change.what}: pytest could not run: {ran.stdout}{ran.stderr}")


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
