"""EIO, ENOSPC, EDQUOT and EMFILE at the calls of accept, intake, claim, finish and the others.

A transition that fails leaves the job whole or absent, and succeeds when it is tried again.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.crash import strace
from tests.crash.test_crash_matrix import CHECKS
from tests.crash.transition import DATA, JOB, TRANSITIONS, owned
from treadle_spool import Spool, UnknownJob

pytestmark = pytest.mark.usefixtures("needs_strace")

MOST = int(os.environ.get("TREADLE_FAULTS", "1"))
"""How many invocations of each system call fail, one after the other, for each transition and error."""
ERRORS = {
    "EIO": {"fsync", "write", "read", "openat", "link", "rename", "mkdir", "unlink"},
    "ENOSPC": {"write", "openat", "link", "rename", "mkdir", "fsync"},
    "EDQUOT": {"write", "openat", "mkdir"},
    "EMFILE": {"openat"},
}
"""Which calls may fail in which way."""
SWEPT = ("accept", "intake", "claim", "finish", "cancel", "retry", "end without a start", "refuse")


def prepare(folder: Path, transition: str) -> Spool:
    shutil.rmtree(folder / "spool", ignore_errors=True)
    spool = Spool.open(folder / "spool")
    with owned(spool) as owner:
        TRANSITIONS[transition][0](owner)
    return spool


def command(spool: Spool, transition: str) -> list[str]:
    return strace.python("tests.crash.transition", str(spool.root), transition)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("transition", SWEPT)
@pytest.mark.timeout(600)
def test_a_failing_call_leaves_the_job_whole_or_absent(tmp_path, transition, error):
    found = strace.points(command(prepare(tmp_path, transition), transition), tmp_path / "log")
    failed = 0
    for call in ERRORS[error]:
        for point in [each for each in found if each.call == call][-MOST:]:
            spool = prepare(tmp_path, transition)
            ran = strace.fail_at(command(spool, transition), call, error, str(point.number))
            if not ran.returned:
                assert f"Errno {getattr(errno, error)}" in ran.errors, (point, ran)
                failed += 1
                check_failed(spool, transition)
                assert strace.run(command(spool, transition)).returned, point
            CHECKS[transition](spool, True)
    assert failed or error == "EMFILE", found


def check_failed(spool: Spool, transition: str) -> None:
    """Check what a client may see before anybody has tried again."""
    if transition == "accept":
        with pytest.raises(UnknownJob):
            spool.look_up(JOB)
        assert list(spool.queue.iterdir()) == []
    elif transition in {"claim", "retry"} or not (spool.done / JOB).exists():
        assert transition in {"intake", "refuse"} or bytes(spool.read_queued(JOB).data) == DATA


def test_a_file_whose_fsync_failed_is_written_anew(tmp_path):
    """After a failed fsync the kernel may have dropped the pages and call the file clean: fsync would lie."""
    spool = prepare(tmp_path, "finish")
    ran = strace.fail_at(command(spool, "finish"), "fsync", "EIO", "1")
    assert not ran.returned
    log = tmp_path / "log"
    strace.points(command(spool, "finish"), log)
    made = [line for line in log.read_text().splitlines() if "O_CREAT" in line]
    assert any("result.json" in line and "O_EXCL" in line for line in made), made
