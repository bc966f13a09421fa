"""The clocks: `now` tells a moment to people, `uptime` measures how long something takes.

The time of day may be set ahead or back at any moment, by a person or by NTP. So a duration that decides
about a job is a difference of `uptime`: the seconds since the boot, suspended ones included. Every process of
a boot reads the same clock, so it goes on over restarts of the engine. A process in another time namespace
sees it shifted; the shift is taken off. After another boot only the time of day is left.

Dropped: CLOCK_MONOTONIC, which stands still while the host is suspended.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_OFFSETS = Path("/proc/self/timens_offsets")


def now() -> datetime:
    """Return the time of day in UTC, as all times in the spool are."""
    return datetime.now(UTC)


def uptime() -> float:
    """Return the seconds since the boot of this host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _shift()


@cache
def _shift() -> float:
    """Return the seconds by which this process's time namespace shifts the clock."""
    try:
        lines = _OFFSETS.read_text("ascii").splitlines()
    except OSError:  # Linux before 5.6, or without time namespaces
        return 0.0
    for clock, seconds, nanoseconds in map(str.split, lines):
        if clock == "boottime":
            return int(seconds) + int(nanoseconds) / 1e9
    return 0.0
