"""What the acceptance tests share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers on one spool below tmp_path; they are stopped at the end of the test."""
    servers: list[Server] = []

    def start(*arguments: str | os.PathLike[str]) -> Server:
        servers.append(Server(tmp_path / "spool", [str(each) for each in arguments]).start())
        return servers[-1]

    yield start
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.stop()


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write a service project with the given program and treadle.toml."""

    def write(program: str, toml: str = "", name: str = "service") -> Path:
        path = tmp_path / "projects" / name
        (path / "src").mkdir(parents=True)
        (path / "src" / "__init__.py").touch()
        (path / "src" / "program.py").write_text(program)
        (path / "planqk.json").write_text(json.dumps({"name": name, "runtime": "PYTHON_TEMPLATE"}))
        if toml:
            (path / "treadle.toml").write_text(toml)
        return path

    return write
