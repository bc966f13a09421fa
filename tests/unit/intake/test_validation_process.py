"""The process that decodes large jobs, spoken to directly."""

from __future__ import annotations

import socket
import subprocess
import sys

import msgspec

from treadle.intake import validation_process
from treadle.intake.composing import FromBody
from treadle.intake.posted import Posting
from treadle.intake.validation_process import Compose


def test_a_process_whose_engine_is_gone_leaves_no_draft_and_says_nothing(tmp_path):
    body, draft = tmp_path / "body", tmp_path / "draft"
    body.write_bytes(b'{"data": {"x": "' + b"a" * 20_000_000 + b'"}}')
    source = FromBody(str(body), Posting("sum", None, 1 << 30))
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", "-m", validation_process.__name__]
        process = subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE)
    with ours:
        ours.sendall(msgspec.json.encode(Compose(source, str(draft), 20_000_000, 30.0)) + b"\n")
    assert (process.communicate(timeout=60)[1], process.returncode) == (b"", 0)
    assert not draft.exists()
