"""When an attempt began, whatever is done to the time of day."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta

import msgspec
import pytest

from treadle_spool import AttemptRecord, LiveAttempt, now, uptime
from treadle_spool.boot import is_this_kernel

TELL = "from treadle_spool import now, uptime; print(uptime(), now().timestamp())"
CLOSE = 5.0
"""Seconds that starting a process may take."""


def told_in(*around: str) -> tuple[float, float]:
    """Return the uptime and the time of day that another process tells."""
    if shutil.which(around[0]) is None:
        pytest.skip(f"there is no {around[0]} on this host")
    command = [*around, sys.executable, "-c", TELL]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        pytest.skip(f"not permitted here: {ran.stderr}")
    told, time = map(float, ran.stdout.split())
    return told, time


def started(ago: float, **fields: object) -> LiveAttempt:
    """Return an attempt that began this moment, and whose time of day is another one."""
    record = AttemptRecord(number=1, runtime="test", started=now() - timedelta(seconds=ago))
    return msgspec.structs.replace(LiveAttempt.beginning(record, "service"), **fields)


@pytest.mark.parametrize("set_to", ["+2h", "-2h"])
def test_a_time_of_day_that_is_set_changes_no_duration(set_to):
    told, time = told_in("faketime", "--exclude-monotonic", "-f", set_to)
    assert abs(time - now().timestamp()) > 3600
    assert abs(told - uptime()) < CLOSE


@pytest.mark.parametrize("shift", ["7200", "-1000"])
def test_a_time_namespace_changes_no_duration(shift):
    told, _ = told_in("unshare", "--time", "--boottime", shift, "--fork")
    assert abs(told - uptime()) < CLOSE


@pytest.mark.parametrize("ago", [7200, -7200])
def test_an_attempt_of_this_boot_began_when_its_clock_says(ago):
    assert uptime() - started(ago).begun() < CLOSE


def test_an_attempt_of_another_boot_began_as_long_ago_as_the_time_of_day_tells():
    assert uptime() - started(7200, boot="another").begun() == pytest.approx(7200, abs=CLOSE)


@pytest.mark.parametrize("boot", ["", "another"])
def test_an_attempt_that_began_in_the_future_by_the_time_of_day_begins_now(boot):
    assert abs(uptime() - started(-7200, boot=boot, clock=0.0).begun()) < CLOSE


def test_a_clock_of_this_boot_that_is_ahead_is_now():
    assert abs(uptime() - started(0, clock=uptime() + 7200).begun()) < CLOSE


def test_the_record_of_an_attempt_keeps_its_clock():
    live = started(0)
    read = msgspec.json.decode(live.to_json(), type=LiveAttempt)
    assert read.clock == live.clock
    assert is_this_kernel(read.boot)
