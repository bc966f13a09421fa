"""What the acceptance tests share beside tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.leftovers import left, remove_images


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a container, a volume or an image in a container engine."""
    yield
    remove_images()
    assert left() == {}
