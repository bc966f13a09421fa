"""What the unit tests share: a real spool in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle_spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")
