"""Every transition, killed at every system call that changes the disk, with and without a power cut after it.

No accepted job is lost, no file is torn, no job has a second result.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from signal import SIGKILL

import pytest

from tests.crash import strace
from tests.crash.disk import Disk
from tests.crash.transition import (
    DATA,
    IDENTITY,
    JOB,
    RESULT,
    SERVICES,
    TRANSITIONS,
    history,
    owned,
    project,
    take,
)
from tests.processes import kill_supervisor
from treadle.dispatch.recovery import Recovered, recover
from treadle.engine import Engine
from treadle.interface.settings import Settings
from treadle_python.leftovers import kill_marked
from treadle_spool import Spool, State, Status, UnknownJob
from treadle_spool.removal import remove
from treadle_spool.status import FORMAT

MOST = int(os.environ.get("TREADLE_CRASH_POINTS", "6"))
"""At how many points each transition is killed; those where the disk is changed come first."""


def prepare(disk: Disk, transition: str) -> Spool:
    """Return a new spool in the state before the transition, all of it on the disk."""
    for old in disk.root.glob("spool*"):
        remove(old)  # what an owner has discarded goes in a thread, at the same time
    spool = Spool.open(disk.root / "spool")
    with owned(spool) as owner:
        TRANSITIONS[transition][0](owner)
    disk.sync()
    return spool


def command(spool: Spool, transition: str) -> list[str]:
    """Return what carries the transition out; its exit code is 0 at its end."""
    return strace.python("tests.crash.transition", str(spool.root), transition)


def cut_power(disk: Disk, spool: Spool) -> None:
    """Lose what is not on the disk, and every process of the spool's programs."""
    kill_marked(f"TREADLE_ATTEMPT={spool.id}/{JOB}/1")
    kill_supervisor(spool.run / JOB)  # one that a fork server has made does not have the mark
    disk.cut_power()


def check(spool: Spool, transition: str, returned: bool) -> None:
    """Check what must hold after a crash, whatever happened, and what must if the transition had returned."""
    check_identity(spool, transition, returned)
    with owned(spool) as owner:
        owner.sweep()
    left = [path.name for path in spool.tmp.iterdir()]
    assert all(name.endswith(("-work", "-tmp")) for name in left)  # of a supervisor that is alive
    CHECKS[transition](spool, returned)


def check_identity(spool: Spool, transition: str, returned: bool) -> None:
    """Check that the spool is what it was, and of one format or the other."""
    identity = json.loads((spool.root / "spool.json").read_bytes())
    formats = {FORMAT} if returned or transition != "raise the format" else {FORMAT - 1, FORMAT}
    assert (identity["id"], identity["format"] in formats) == (spool.id, True)
    assert Spool.open(spool.root).id == spool.id


def recovered(spool: Spool) -> list[Recovered]:
    """Do with the jobs in run/ what the next engine does."""
    with owned(spool) as owner:
        return list(recover(owner, SERVICES, lambda _: True, owner.spool.read_queued))


def check_accept(spool: Spool, returned: bool) -> None:
    try:
        spool.look_up(JOB)
    except UnknownJob:
        assert not returned
    else:
        assert bytes(spool.read_queued(JOB).data) == DATA


def check_intake(spool: Spool, returned: bool) -> None:
    lies_there = any(spool.drop.iterdir())
    owed = spool.queued(JOB).exists()
    assert lies_there or owed
    assert owed or not returned
    if lies_there:
        with owned(spool) as owner:
            take(owner)  # what the next engine does
    assert bytes(spool.read_queued(JOB).data) == DATA
    assert list(spool.drop.iterdir()) == list(spool.bad.iterdir()) == []


def check_claim(spool: Spool, returned: bool) -> None:
    del returned  # a claim promises nothing after a power cut
    assert bytes(spool.read_queued(JOB).data) == DATA
    found = recovered(spool)
    assert spool.look_up(JOB).status is (State.RUNNING if found else State.PENDING)


def check_finish(spool: Spool, returned: bool) -> None:
    found = recovered(spool)
    now = spool.look_up(JOB).status
    assert now is State.SUCCEEDED or not returned
    if now is State.SUCCEEDED:
        assert (spool.done / JOB / "result.json").read_bytes() == RESULT
        assert not (spool.run / JOB).exists()
        with owned(spool) as owner:
            assert owner.claim(JOB, None) is None
        assert not spool.queued(JOB).exists()
    else:
        assert spool.queued(JOB).exists()
        assert now is (State.RUNNING if found else State.PENDING)


def check_attempt(spool: Spool, returned: bool) -> None:
    """Check that the next engine brings the job to its end, with one attempt after the other."""
    del returned  # whatever has begun is gone on with, or is lost and begun anew

    async def end() -> Status:
        settings = Settings(spool=spool.root, projects=(project(spool),), disk_reserve=0)
        async with Engine(settings) as engine:
            return await engine.completions.status(JOB, 30)

    status = asyncio.run(end())
    killed = status.attempts[-1].signal == SIGKILL  # the program itself, and that is how it ended
    assert status.status is (State.FAILED if killed else State.SUCCEEDED)
    assert killed or (spool.done / JOB / "result.json").read_bytes() == RESULT
    begun = set(history(spool).read_text().splitlines())
    assert begun == {"begin"} or (killed and not begun)


def check_cancel(spool: Spool, returned: bool) -> None:
    assert spool.look_up(JOB).status is State.PENDING
    assert (spool.cancel / JOB).exists() or not returned


def check_retry(spool: Spool, returned: bool) -> None:
    assert spool.queued(JOB).exists()
    assert not returned or spool.read_live(JOB).attempt.number == 2
    for found in recovered(spool):
        assert found.live.attempt.number in ({2} if returned else {1, 2})


def check_gc(spool: Spool, returned: bool) -> None:
    assert not (returned and (spool.done / JOB).exists())  # its name may be another job's by now
    try:
        assert spool.look_up(JOB).status is State.SUCCEEDED
    except UnknownJob:
        assert not (spool.done / JOB).exists()
    else:
        assert (spool.done / JOB / "result.json").read_bytes() == RESULT


def check_refuse(spool: Spool, returned: bool) -> None:
    lies_there = any(spool.drop.iterdir())
    kept = [
        path.with_name(path.name.removesuffix(".reason.json")) for path in spool.bad.glob("*.reason.json")
    ]
    assert lies_there or any(path.exists() for path in kept)
    del returned  # a refusal that a power cut undoes is made again
    with owned(spool) as owner:
        take(owner)
    assert list(spool.drop.iterdir()) == list(spool.queue.iterdir()) == []


def check_end_waiting(spool: Spool, returned: bool) -> None:
    found = recovered(spool)
    assert found == []  # nothing was ever started
    now = spool.look_up(JOB).status
    assert now is (State.CANCELLED if returned else now)
    assert spool.queued(JOB).exists() or now is State.CANCELLED
    assert (now is State.CANCELLED) is (spool.done / JOB).exists()


def check_undo(spool: Spool, returned: bool) -> None:
    del returned  # an undoing that a power cut undoes is made again
    assert recovered(spool) == []
    assert spool.look_up(JOB).status is State.PENDING
    with owned(spool) as owner:
        assert owner.claim(JOB, None) is not None


def check_sync(spool: Spool, returned: bool) -> None:
    found = recovered(spool)
    if returned:
        assert [each.live.attempt.number for each in found] == [1]
        assert (spool.run / JOB / IDENTITY).read_text() == "identity"
    else:
        check_claim(spool, returned)


def check_torn(spool: Spool, returned: bool) -> None:
    """Check that the second attempt counts as the second one, and that the job is as it was accepted."""
    del returned  # a recovery that a power cut undoes is made again
    (found,) = recovered(spool)
    assert (found.live.attempt.number, found.problem) == (2, "")
    assert bytes(spool.read_claimed(JOB).data) == DATA
    assert spool.look_up(JOB).status is State.RUNNING


CHECKS = {
    "accept": check_accept,
    "intake": check_intake,
    "claim": check_claim,
    "start": check_attempt,
    "start by a fork server": check_attempt,
    "exit": check_attempt,
    "finish": check_finish,
    "finish with a file": check_finish,
    "cancel": check_cancel,
    "retry": check_retry,
    "gc": check_gc,
    "refuse": check_refuse,
    "end without a start": check_end_waiting,
    "undo a claim": check_undo,
    "raise the format": check_accept,
    "make an attempt durable": check_sync,
    "recover a torn record": check_torn,
    "recover a torn descriptor": check_torn,
    "recover a torn folder": check_torn,
}


@pytest.mark.parametrize("power", ["kept", "cut"])
@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.timeout(1200)
def test_a_crash_at_any_system_call_loses_nothing(disk, transition, power, record_property, tmp_path):
    log = tmp_path / "strace.log"
    points = strace.some(strace.points(command(prepare(disk, transition), transition), log), MOST)
    tried = 0
    for point in points:
        spool = prepare(disk, transition)
        ran = strace.kill_at(command(spool, transition), point, log)
        if power == "cut":
            cut_power(disk, spool)
        try:
            check(spool, transition, ran.returned)
        except AssertionError as error:
            raise AssertionError(f"killed at {point}") from error
        tried += ran.killed
    record_property("points", tried)
    assert tried >= len(points) / 2


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_what_has_returned_survives_a_power_cut(disk, transition):
    spool = prepare(disk, transition)
    assert strace.run(command(spool, transition)).returned
    cut_power(disk, spool)
    check(spool, transition, returned=True)


def test_a_spool_that_was_made_keeps_its_id(disk):
    made = disk.root / "spool-made"
    program = "import sys; from pathlib import Path; from treadle_spool import Spool; "
    program += "print(Spool.open(Path(sys.argv[1])).id)"
    told = subprocess.run([sys.executable, "-c", program, made], capture_output=True, text=True, check=True)
    disk.cut_power()
    assert Spool.open(made).id == told.stdout.strip()
