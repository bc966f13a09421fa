from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.scripted import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make engines on one spool below tmp_path."""
    return Bench(tmp_path)
