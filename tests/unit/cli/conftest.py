"""The command line in the process of the test: each call is a few milliseconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from treadle.cli import main


@dataclass
class Ran:
    """What a call of the command line has left."""

    code: int
    out: str
    err: str

    def is_one_clear_line(self, words: str = "") -> None:
        """Assert that it has failed, with one line that says why, and no answer."""
        assert self.code not in {0, None}, self.out
        assert self.out == ""
        lines = [each for each in self.err.splitlines() if each and not each.startswith(("Usage:", "Try "))]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("Error: ")
        assert "a fault of treadle" not in lines[0]
        assert words in lines[0], lines[0]


@pytest.fixture
def treadle(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line and return its exit code and what it has printed."""

    def run(*arguments: object) -> Ran:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", sys.stdout)
            patch.setattr(sys, "argv", ["treadle", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                main()
        return Ran(end.value.code, *capfd.readouterr())  # type: ignore[arg-type]  # main exits with a number

    return run
