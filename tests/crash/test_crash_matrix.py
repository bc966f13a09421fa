"""Every transition, killed at every system call that changes the disk, with and without a power cut after it.

No accepted job is lost, no file is torn, no job has a second result.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.disk import Disk
from tests.crash.transition import DATA, JOB, RESULT, TRANSITIONS, take
from treadle.recovery import recover
from treadle.service import Service
from treadle_spool import Spool, State, UnknownJob

CALLS = ("fsync", "write", "link", "rename", "unlink", "mkdir", "rmdir", "linkat", "unlinkat")
MOST = int(os.environ.get("TREADLE_CRASH_POINTS", "4"))
"""How many invocations of each system call are tried, for each transition; the last ones."""
SERVICES = {"sum": Service("sum", Path(), runtime="test")}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this host")
    try:
        disk = Disk(tmp_path_factory.mktemp("crash"))
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("TREADLE_REQUIRE_ENGINES") == "1":
            raise
        pytest.skip(f"no disk can be mounted here: {error}")
    yield disk
    disk.remove()


def prepare(disk: Disk, transition: str) -> Spool:
    """Return a new spool in the state before the transition, all of it on the disk."""
    for old in disk.root.glob("spool*"):
        shutil.rmtree(old)
    spool = Spool.open(disk.root / "spool")
    TRANSITIONS[transition][0](spool)
    os.sync()
    return spool


def run(spool: Spool, transition: str, *strace: str) -> subprocess.CompletedProcess[str]:
    """Carry the transition out in a process of its own, perhaps under strace; it prints `done` at its end."""
    program = [sys.executable, "-m", "tests.crash.transition", str(spool.root), transition]
    command = ["strace", "-f", "-qq", *strace, *program] if strace else program
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def count(spool: Spool, transition: str, call: str) -> int:
    """Return how often the transition's process makes a system call."""
    traced = run(spool, transition, "-e", f"trace={call}", "-e", "signal=none")
    assert traced.stdout == "done"
    return sum(f"{call}(" in line for line in traced.stderr.splitlines())


def check(spool: Spool, transition: str, returned: bool) -> None:
    """Check what must hold after a crash, whatever happened, and what must if the transition had returned."""
    spool.sweep()
    assert list(spool.tmp.iterdir()) == []
    CHECKS[transition](spool, returned)


def check_accept(spool: Spool, returned: bool) -> None:
    try:
        spool.look_up(JOB)
    except UnknownJob:
        assert not returned
    else:
        assert bytes(spool.read_queued(JOB).data) == DATA


def check_intake(spool: Spool, returned: bool) -> None:
    lies_there = (spool.drop / f"{JOB}.json").exists()
    owed = spool.queued(JOB).exists()
    assert lies_there or owed
    assert owed or not returned
    if lies_there:
        take(spool)  # what the next engine does
    assert bytes(spool.read_queued(JOB).data) == DATA
    assert list(spool.drop.iterdir()) == list(spool.bad.iterdir()) == []


def check_claim(spool: Spool, returned: bool) -> None:
    del returned  # a claim promises nothing after a power cut
    assert bytes(spool.read_queued(JOB).data) == DATA
    found = list(recover(spool, SERVICES, lambda _: True))
    assert spool.look_up(JOB).status is (State.RUNNING if found else State.PENDING)


def check_finish(spool: Spool, returned: bool) -> None:
    found = list(recover(spool, SERVICES, lambda _: True))
    now = spool.look_up(JOB).status
    assert now is State.SUCCEEDED or not returned
    if now is State.SUCCEEDED:
        assert (spool.done / JOB / "result.json").read_bytes() == RESULT
        assert not (spool.run / JOB).exists()
        assert spool.claim(JOB, None) is None
        assert not spool.queued(JOB).exists()
    else:
        assert spool.queued(JOB).exists()
        assert now is (State.RUNNING if found else State.PENDING)


def check_cancel(spool: Spool, returned: bool) -> None:
    assert spool.look_up(JOB).status is State.PENDING
    assert (spool.cancel / JOB).exists() or not returned


def check_retry(spool: Spool, returned: bool) -> None:
    assert spool.queued(JOB).exists()
    for found in recover(spool, SERVICES, lambda _: True):
        assert found.live.attempt.number in ({2} if returned else {1, 2})


def check_remove(spool: Spool, returned: bool) -> None:
    del returned  # a removal that a power cut undoes is made again
    try:
        assert spool.look_up(JOB).status is State.SUCCEEDED
    except UnknownJob:
        assert not (spool.done / JOB).exists()
    else:
        assert (spool.done / JOB / "result.json").read_bytes() == RESULT


CHECKS = {
    "accept": check_accept,
    "intake": check_intake,
    "claim": check_claim,
    "finish": check_finish,
    "cancel": check_cancel,
    "retry": check_retry,
    "remove": check_remove,
}


@pytest.mark.parametrize("power", ["kept", "cut"])
@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.timeout(600)
def test_a_crash_at_any_system_call_loses_nothing(disk, transition, power):
    points = 0
    for call in CALLS:
        last = count(prepare(disk, transition), transition, call)
        for number in range(max(1, last - MOST + 1), last + 1):
            spool = prepare(disk, transition)
            inject = f"inject={call}:signal=KILL:when={number}"
            killed = run(spool, transition, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
            assert killed.returncode != 0
            if power == "cut":
                disk.cut_power()
            check(spool, transition, killed.stdout == "done")
            points += 1
    assert points >= 3


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_what_has_returned_survives_a_power_cut(disk, transition):
    spool = prepare(disk, transition)
    assert run(spool, transition).stdout == "done"
    disk.cut_power()
    check(spool, transition, returned=True)
