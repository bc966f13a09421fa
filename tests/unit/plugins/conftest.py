"""What the tests of runtimes share."""

from __future__ import annotations

import pytest

from tests.unit.plugins.on_host import PythonOnHost


@pytest.fixture(autouse=True)
async def _close_runtimes(monkeypatch):
    """Close the host's runtimes that a test has made: their links are open until then."""
    made, make = [], PythonOnHost.__init__

    def remember(self, *arguments, **options):
        make(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(PythonOnHost, "__init__", remember)
    yield
    for runtime in made:
        await runtime.close()
