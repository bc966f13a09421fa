"""The words between the host runtime's processes, and what stays for other versions."""

from __future__ import annotations

from treadle_python.treadle_inside import protocol


def test_the_words_are_those_that_version_1_knows():
    words = ["STARTED", "ALREADY_PUBLISHED", "TRANSIENT_ERROR", "ENDED", "CANNOT_FORK", "OUTDATED", "LEASE"]
    assert [getattr(protocol, word) for word in words] == [b"s", b"t", b"e", b"d", b"p", b"o", b"lease"]
    assert protocol.RESULT_FILES == {
        "error": "error.json",
        "returned": "returned.json",
        "text": "returned-text.json",
    }
