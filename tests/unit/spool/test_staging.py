"""What is left in tmp/ is removed once it has not changed for a while, whatever the time of day does."""

from __future__ import annotations

import os
import time

import pytest

from treadle_spool.staging import Abandoned

NO_PID = "4194999"
"""Larger than any process id."""
HOUR = 3600.0


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose only entry is added to the uptime."""
    shift = [0.0]
    monkeypatch.setattr("treadle_spool.staging.uptime", lambda: shift[0])
    return shift


@pytest.mark.parametrize("age", [0, 7200, -7200])
def test_what_stays_unchanged_is_removed_after_its_time_whatever_its_mtime_is(tmp_path, clock, age):
    draft = tmp_path / f"{NO_PID}-draft"
    draft.touch()
    os.utime(draft, (time.time() - age,) * 2)
    abandoned = Abandoned(tmp_path)
    abandoned.remove(HOUR)
    assert draft.exists()
    clock[0] += HOUR
    abandoned.remove(HOUR)
    assert not draft.exists()


def test_what_changes_meanwhile_stays(tmp_path, clock):
    draft = tmp_path / f"{NO_PID}-draft"
    draft.touch()
    abandoned = Abandoned(tmp_path)
    for moment in (1, 2, 3):
        os.utime(draft, (moment, moment))
        abandoned.remove(HOUR)
        clock[0] += HOUR
    assert draft.exists()


def test_a_start_removes_all_that_belongs_to_no_live_process(tmp_path):
    (tmp_path / f"{NO_PID}-draft").touch()
    (tmp_path / f"{os.getpid()}-draft").touch()
    Abandoned(tmp_path).remove(0)
    assert [path.name for path in tmp_path.iterdir()] == [f"{os.getpid()}-draft"]
