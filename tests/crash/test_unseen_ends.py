"""Something ends while no engine looks, somebody else's sync follows, then the power is cut.

The name of the exit is on the disk then, and what it tells of is not: 0 bytes. Whatever is made of that under
the next boot must not be told. What was made durable is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.machine import Machine
from treadle.testing import eventually

GATE = "gate"
"""The program waits for this file, so that the engine is stopped before the end."""
_PYTHON = """
import os, time

def run(data):
    with open({runs!r}, 'a') as runs:
        runs.write('run\\n')
    print('begun')
    while not os.path.exists({gate!r}):
        time.sleep(0.01)
{end}
"""
_SHELL = """#!/bin/sh
echo run >>{runs}
echo begun
until [ -e {gate} ]; do sleep 0.01; done
{end}
"""


@dataclass(frozen=True)
class Way:
    """How a program is started: what its treadle.toml says, and how its source is written."""

    source: str
    path: str
    toml: str
    ends: dict[str, str]
    failure: dict[str, str]


_IN_PYTHON = {
    "returned": "    return {'woven': 7}",
    "marker": "    print('PlanQK:Job:Result: {\"woven\": 7}')",
    "error": "    raise ValueError('tangled')",
}
_IN_SHELL = {
    "marker": "echo 'PlanQK:Job:Result: {\"woven\": 7}'",
    "error": "echo tangled >&2; exit 3",
}
_PYTHON_FAILURE = {"code": "ValueError", "detail": "tangled"}
_COMMAND = 'program = "command"\ncommand = ["./program.sh"]\n'
WAYS = {
    "fork": Way(_PYTHON, "src/program.py", "", _IN_PYTHON, _PYTHON_FAILURE),
    "spawn": Way(_PYTHON, "src/program.py", 'start = "spawn"\n', _IN_PYTHON, _PYTHON_FAILURE),
    "command": Way(_SHELL, "program.sh", _COMMAND, _IN_SHELL, {"code": "EXIT_3", "detail": "tangled"}),
}
CASES = [(way, end) for way, each in WAYS.items() for end in each.ends]


@pytest.fixture(params=CASES, ids="-".join)
def program(request, tmp_path) -> tuple[Path, str]:
    """Write a service whose program ends in one way, and return its project and how it ends."""
    way, end = WAYS[request.param[0]], request.param[1]
    project = tmp_path / "service"
    path = project / way.path
    path.parent.mkdir(parents=True)
    words = {"runs": str(tmp_path / "runs"), "gate": str(tmp_path / GATE)}
    path.write_text(way.source.format(end=way.ends[end], **words))
    path.chmod(0o755)
    (project / "treadle.toml").write_text(f'name = "service"\n{way.toml}')
    return project, request.param[0], end


def expected(way: str, end: str) -> object:
    return WAYS[way].failure if end == "error" else {"woven": 7}


def end_unseen(machine: Machine, tmp_path: Path, is_over: Callable[[Path], object]) -> str:
    """Have a job end while the engine is stopped; return its id as soon as is_over says so of its folder."""
    job = machine.server.submit()
    folder = machine.spool / "run" / job
    eventually(lambda: (folder / "stdout.log").exists() and (folder / "stdout.log").stat().st_size, "a start")
    machine.freeze()
    (tmp_path / GATE).touch()
    eventually(lambda: is_over(folder), "the end")
    return job


def exits(folder: Path) -> list[Path]:
    return list(folder.glob("exit-*"))


def durable_exits(folder: Path) -> list[Path]:
    return list(folder.glob("exit-*-synced"))


def attempts(machine: Machine, job: str) -> list[str]:
    return [each["reason"] for each in machine.server.status(job)["attempts"]]


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def test_an_end_that_was_not_made_durable_is_not_believed_after_a_power_cut(machine, program, tmp_path):
    project, way, end = program
    host = machine(project)
    job = end_unseen(host, tmp_path, exits)
    host.sync_something_else()
    host.cut_power()
    left = [path.name for path in exits(host.spool / "run" / job)]
    assert left, "the name was on the disk: else this test shows nothing"
    assert not left[0].endswith("-synced")
    host.boot()
    assert host.server.result(job) == expected(way, end)
    assert attempts(host, job) == ["lost", "ended"]
    assert runs(tmp_path) == 2


def test_an_end_that_was_made_durable_counts_after_a_power_cut(machine, program, tmp_path):
    project, way, end = program
    host = machine(project)
    job = end_unseen(host, tmp_path, durable_exits)
    host.cut_power()
    host.boot()
    assert host.server.result(job) == expected(way, end)
    assert attempts(host, job) == ["ended"]
    assert runs(tmp_path) == 1
    assert (host.spool / "done" / job / "stdout.log").read_text().startswith("begun\n")
