from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from treadle.testing import live_attempt
from treadle_spool import Descriptor, SpoolInUse
from treadle_spool.errors import NotOwner

HOLD = """
import sys, time
from pathlib import Path
from treadle_spool import Spool
with Spool.open(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(spool):
    command = [sys.executable, "-c", HOLD, str(spool.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_engine_learns_who_holds_the_spool(spool, holder):
    with pytest.raises(SpoolInUse, match=f"process {holder.pid}, since 20"), spool.lock():
        pass
    assert spool.lock().holder() == holder.pid


def test_a_crash_releases_it(spool, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert spool.lock().holder() is None
    with spool.lock():
        assert spool.lock().holder() == os.getpid()


def test_it_is_free_again_after_its_end(spool):
    with spool.lock():
        pass
    with spool.lock():
        pass
    assert spool.lock().holder() is None


def test_an_owner_whose_lock_was_left_claims_and_ends_nothing(spool):
    job = spool.accept(Descriptor(service="test"))
    with spool.lock() as owner:
        assert owner.claim(job.id, live_attempt()) is not None
    for call in (
        lambda: owner.claim(job.id, live_attempt()),
        lambda: owner.finish(job, b"1"),
        lambda: owner.record_attempt(job.id, live_attempt()),
    ):
        with pytest.raises(NotOwner):
            call()
    assert spool.look_up(job.id).status == "RUNNING"


def test_a_link_in_its_place_is_not_followed(spool, tmp_path):
    (tmp_path / "precious").write_text("data")
    (spool.root / "engine.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), spool.lock():
        pass
    assert (tmp_path / "precious").read_text() == "data"
