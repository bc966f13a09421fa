"""The peer without an engine: the interpreter started for each job, nothing kept, nothing promised."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

_CODE = "import json, sys; from src.program import run; print(json.dumps(run(**json.load(sys.stdin))))"


class PlainStart:
    """`python -c` of the same function, its input on stdin and its result on stdout."""

    at_a_time = 2

    def __init__(self, project: Path, python: Path = Path(sys.executable), name: str = "python -c") -> None:
        self.name = name
        self._project = project
        self._python = python

    async def run(self, data: dict[str, object]) -> object:
        """Run one job and return its result."""
        process = await asyncio.create_subprocess_exec(
            self._python,
            "-c",
            _CODE,
            cwd=self._project,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate(json.dumps({"data": data, "params": {}}).encode())
        return json.loads(out)
