"""The script that takes the promise's parts out still finds every one of them."""

from __future__ import annotations

import pytest

from tests.bite import CHANGES, ROOT


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.what)
def test_a_change_has_one_place(change):
    assert (ROOT / change.file).read_text("utf-8").count(change.old) == 1
