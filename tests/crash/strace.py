"""Processes that are killed at a chosen system call, or in which some fail, by strace.

A process is attached to when it has loaded what it needs and waits in `begin`: what it did before
neither counts nor costs.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

CHANGES = frozenset(
    {"fsync", "write", "link", "linkat", "rename", "unlink", "unlinkat", "mkdir", "rmdir", "ftruncate"}
)
"""The calls that change what is on the disk."""
_IDLE = frozenset(
    {"brk", "mmap", "munmap", "mprotect", "futex", "rt_sigaction", "rt_sigprocmask", "exit_group", "getpid"}
)
"""Calls that change nothing and read nothing."""
_READY = "ready"


@dataclass(frozen=True, slots=True)
class Point:
    """The number-th call of its kind that a process makes."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number}"


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a command."""

    returned: bool
    """Whether it came to its end."""
    code: int
    errors: str
    killed: bool = False
    """Whether the point was reached: two processes need not make all calls in the same order."""


def begin() -> None:
    """Let strace attach to this process; what follows is what the test is about."""
    sys.stdout.write(f"{_READY}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def python(*arguments: str) -> list[str]:
    """Return the command that runs a module of the tests."""
    return [sys.executable, "-m", *arguments]


def run(command: Sequence[str], *options: str) -> Run:
    """Run a command, traced with these options of strace if there are any."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{_READY}\n", process.communicate()
        tracer = _attach(process.pid, *options) if options else None
        _, errors = process.communicate("\n", timeout=60)
    if tracer is not None:
        tracer.communicate(timeout=60)
    return Run(process.returncode == 0, process.returncode, errors)


def points(command: Sequence[str], log: Path) -> list[Point]:
    """Return the calls that the command makes; of its child processes, those that change the disk."""
    ran = run(command, f"--output={log}")
    assert ran.returned, ran
    found: dict[Point, None] = {}
    counts: Counter[tuple[str, str]] = Counter()
    first = ""
    for line in log.read_text("utf-8", "replace").splitlines():
        pid, _, rest = line.partition(" ")
        call, opened, _ = rest.strip().partition("(")
        if not opened or not call.replace("_", "").isalnum():
            continue
        first = first or pid
        counts[pid, call] += 1
        if call not in _IDLE and (pid == first or call in CHANGES):
            found[Point(call, counts[pid, call])] = None
    return list(found)


def some(of: Sequence[Point], most: int) -> list[Point]:
    """Return at most so many points, those that change the disk first, and else from everywhere."""
    changes = [point for point in of if point.call in CHANGES]
    others = [point for point in of if point.call not in CHANGES]
    chosen = _spread(changes, most)
    return chosen + _spread(others, most - len(chosen))


def kill_at(command: Sequence[str], point: Point, log: Path) -> Run:
    """Run a command; each process of it is killed when it comes to the point."""
    what = f"{point.call}:signal=KILL:when={point.number}"
    ran = run(command, f"--trace={point.call}", f"--inject={what}", f"--output={log}")
    killed = ran.code == -SIGKILL or ") = ?" in log.read_text("utf-8", "replace")  # the call did not return
    return replace(ran, killed=killed)


def fail_at(command: Sequence[str], call: str, error: str, when: str) -> Run:
    """Run a command in which some of these system calls fail; when is strace's: `3`, `3+`, `2+5`."""
    return run(command, f"--trace={call}", f"--inject={call}:error={error}:when={when}", "--output=/dev/null")


def _attach(pid: int, *options: str) -> subprocess.Popen[str]:
    tracer = subprocess.Popen(
        ["strace", "--follow-forks", "--signal=none", *options, f"--attach={pid}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    assert "attached" in (said := tracer.stderr.readline()), said
    return tracer


def _spread(of: Sequence[Point], most: int) -> list[Point]:
    if most <= 0:
        return []
    step = max(1.0, len(of) / most)
    return [of[int(number * step)] for number in range(min(most, len(of)))]
