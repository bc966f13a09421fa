"""Trouble that lasts does not fill the log."""

from __future__ import annotations

import os

from tests.acceptance.server import EXAMPLES, eventually

REFUSED = int(os.environ.get("TREADLE_REFUSED", "1000"))
"""How many bad files are dropped."""


def test_a_thousand_refused_files_take_a_hundred_lines_and_each_has_its_reason(serve):
    server = serve(EXAMPLES / "sum")
    for number in range(REFUSED):
        (server.spool / "drop" / f"bad-{number}.json").write_bytes(b"{")
    bad = server.spool / "bad"
    eventually(lambda: len(list(bad.glob("*.reason.json"))) >= min(REFUSED, 1000), "the reasons", 120)
    lines = server.log.read_text().splitlines()
    assert 100 <= len(lines) < 100 * (2 + REFUSED / 200)
