"""Whether bytes are JSON: the same answer for a large text, which another process looks at."""

from __future__ import annotations

import time

import pytest

from treadle import json_fault
from treadle.interface import json_text

TEXTS = [b"1", b' {"a": [1]} ', b'"\xff"', b"[" * 100_000, b"{", b"", b"1 2", b'"\xc3\xbc"', b'{"a": 1,}']


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_process_says_what_the_decoder_says(monkeypatch, text):
    here = json_fault(text)
    monkeypatch.setattr(json_text, "_LARGE", -1)
    assert json_fault(text) == here
    assert (here is None) == (text in {b"1", b' {"a": [1]} ', b'"\xc3\xbc"'})


def test_a_large_text_takes_no_time_of_this_process():
    text = b"[" + b"[[1]], " * 7_000_000 + b"1]"
    begun = time.process_time()
    assert json_fault(text) is None
    assert time.process_time() - begun < 0.12
