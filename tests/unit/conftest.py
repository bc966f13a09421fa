"""What the unit tests share: a real spool in a temporary folder, and engines on one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from treadle.testing import EngineHarness
from treadle_spool import Owner, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")


@pytest.fixture
def owner(spool: Spool) -> Iterator[Owner]:
    """Return the owner of the spool: what an engine may do."""
    with spool.lock() as owner:
        yield owner


@pytest.fixture
def harness(tmp_path: Path) -> EngineHarness:
    """Make engines on one spool below tmp_path."""
    return EngineHarness(tmp_path)
