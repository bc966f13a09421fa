"""What a program has of its engine's limits: it is the OOM killer's first, and may open as many files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.acceptance.server import Server, eventually

PROGRAM = """
import resource
def run():
    with open('/proc/self/oom_score_adj') as file:
        return [int(file.read()), *resource.getrlimit(resource.RLIMIT_NOFILE)]
"""
SCRIPT = """#!/bin/sh
read score < /proc/self/oom_score_adj
echo "PlanQK:Job:Result: [$score, $(ulimit -Sn), $(ulimit -Hn)]"
"""
RAISES = "import resource\nhard = resource.getrlimit(7)[1]\nresource.setrlimit(7, (hard, hard))\n"
"""A plugin that raises the engine's limit of open files, as the server does."""
FILES = 345
STARTS = {
    "fork": "",
    "spawn": "start = 'spawn'\n",
    "command": "program = 'command'\ncommand = ['./script']\n",
}


def served(project, tmp_path: Path, start: str, prefix: str) -> Server:
    """Start a server after a line of shell; its program tells its score, and its limits of open files."""
    path = project(PROGRAM, STARTS[start])
    (path / "script").write_text(SCRIPT)
    (path / "script").chmod(0o755)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "raises.py").write_text(RAISES)
    arguments = [str(path), "--plugins-dir", str(tmp_path / "plugins")]
    return Server(tmp_path / "spool", arguments, around=["sh", "-c", f'{prefix}; exec "$@"', "sh"]).start()


@pytest.mark.parametrize("start", STARTS)
def test_a_program_has_the_limit_of_open_files_that_its_engine_was_started_with(project, tmp_path, start):
    server = served(project, tmp_path, start, f"ulimit -Sn {FILES}")
    try:
        engine = psutil.Process(server.process.pid)
        _, soft, hard = server.result(server.submit())
        assert engine.rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
        assert soft == FILES < hard
    finally:
        server.stop()


@pytest.mark.parametrize(("own", "expected"), [(0, 500), (100, 600), (800, 1000)])
@pytest.mark.parametrize("start", STARTS)
def test_the_oom_killer_takes_a_program_before_the_engine(project, tmp_path, start, own, expected):
    server = served(project, tmp_path, start, f"echo {own} > /proc/self/oom_score_adj")
    try:
        for _ in range(3):  # the later ones are forked in advance
            assert server.result(server.submit())[0] == expected
        assert score(server.process.pid) == own
    finally:
        server.stop()


def test_supervisors_and_fork_servers_are_not_offered(project, tmp_path):
    server = served(project, tmp_path, "fork", "true")
    try:
        known = set(psutil.pids())
        server.result(server.submit())
        own = score(server.process.pid)

        def scores() -> list[int]:
            with suppress(FileNotFoundError, ProcessLookupError):  # one of them has ended
                return sorted(score(pid) for pid in psutil.pids() if pid not in known and ours(pid))
            return []

        # The fork server and a supervisor, which has its programs' score for the moment in which it forks.
        eventually(lambda: scores()[:2] == [own, own], "two with the engine's score, and none below it")
    finally:
        server.stop()


def ours(pid: int) -> bool:
    try:
        return b"treadle_inside" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
