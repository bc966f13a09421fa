"""A limit to log lines that repeat: trouble that lasts fills no disk with the same line."""

from __future__ import annotations

import logging
import time

_PERIOD = 10.0
"""Seconds for which lines of one place in the code are counted together."""
_MOST = 100
"""Lines of one place in a period."""


class LogLimit(logging.Filter):
    """Passes the first lines of each place in the code in a period, and then says how many it left out.

    A place and not a text: the lines of a flood differ in a name or a number. It belongs to one handler, for
    the lifetime of a process.
    """

    def __init__(self, most: int = _MOST, period: float = _PERIOD) -> None:
        super().__init__()
        self._most = most
        self._period = period
        self._places: dict[tuple[str, int], tuple[float, int]] = {}
        """When the period of a place began, and how many lines it had since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; the first one of a new period may get a note."""
        place = (record.pathname, record.lineno)
        begun, lines = self._places.get(place, (0.0, 0))
        now = time.monotonic()
        if not lines or now - begun >= self._period:
            if lines > self._most:
                record.msg = f"{record.getMessage()} (and {lines - self._most} more lines like this before)"
                record.args = ()
            begun, lines = now, 0
        self._places[place] = (begun, lines + 1)
        return lines < self._most


def limit_repeated_lines() -> None:
    """Limit the lines of all handlers of the root logger."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
