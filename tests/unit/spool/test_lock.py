from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from treadle_spool import SpoolInUse

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


def test_a_link_in_its_place_is_not_followed(spool, tmp_path):
    (tmp_path / "precious").write_text("data")
    (spool.root / "engine.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), spool.lock():
        pass
    assert (tmp_path / "precious").read_text() == "data"
