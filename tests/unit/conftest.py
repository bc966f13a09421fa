"""What the unit tests share: a real spool in a temporary folder, and engines with a scripted runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scripted import Bench
from treadle_spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make engines on one spool below tmp_path."""
    return Bench(tmp_path)
