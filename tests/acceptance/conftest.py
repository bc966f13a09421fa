"""What the acceptance tests share beside tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import CONTAINERS, need, why_not
from tests.leftovers import left, remove_images


@pytest.fixture(scope="package", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """None of these tests leaves a container, a volume or an image in a container engine."""
    yield
    remove_images()
    why_not.cache_clear()  # the image of the tests is gone as well
    assert left() == {}


@pytest.fixture(params=CONTAINERS)
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of each container engine, where there is one."""
    name: str = request.param
    need(name)
    return name
