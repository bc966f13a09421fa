"""The diagnosis of what programs of the host runtime see, for `treadle doctor`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from treadle import Diagnosis
from treadle_python.bootstrap import bootstrap

_TIMEOUT = 30.0
_SUBJECT = "isolation of programs"
_HIDDEN = "a program sees nothing of the spool but what it is given"
_SEEN = (
    "this host permits namespaces, but no mounts in them: a program sees the whole spool, "
    "and can forge the outcome of its own job and of others"
)
_NONE = (
    "programs have no namespaces here: a program sees the whole spool, can forge the outcome of its own job "
    "and of others, and may signal its supervisor"
)


async def diagnose_isolation(contain: str) -> Diagnosis:
    """Try in a process of its own whether a folder can be hidden, and report what that means."""
    return await asyncio.to_thread(_diagnose, contain)


def _diagnose(contain: str) -> Diagnosis:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").touch()
        tried = subprocess.run(
            [sys.executable, *bootstrap("probe"), contain, str(Path(folder).resolve())],
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    try:
        kind, hidden = orjson.loads(tried.stdout)
    except ValueError:
        reason = tried.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return Diagnosis(_SUBJECT, works=False, detail=f"it could not be tried: {reason}")
    return Diagnosis(
        _SUBJECT, works=True, detail=_HIDDEN if hidden else _SEEN if kind == "namespace" else _NONE
    )
