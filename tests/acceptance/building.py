"""What the tests of `treadle build` share: projects that require something, and a host without a network."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.command import Ran, treadle
from tests.wheels import make_wheel

PROGRAM = """
import sys

def run(data, params):
    import needed
    return {"version": needed.VERSION, "prefix": sys.prefix, "python": "%d.%d" % sys.version_info[:2]}
"""


def needing(
    project: Callable[..., Path], program: str = PROGRAM, toml: str = "", name: str = "service"
) -> Path:
    """Write a project that requires `needed`, with wheels of version 1.0 and 2.0 in its wheels/."""
    path = project(program, toml, name)
    (path / "requirements.txt").write_text("needed==1.0\n")
    for version in ("1.0", "2.0"):
        make_wheel(path / "wheels", "needed", version)
    return path


def without_network() -> list[str]:
    """Return a command that starts another one in a network namespace; skip where that is impossible."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        try:
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            break
    pytest.skip("there are no network namespaces on this host")


def build(path: Path, *arguments: object, **environment: str) -> Ran:
    """Build a project from its wheels/, and assert that it succeeds."""
    ran = treadle("build", path, "--offline", *arguments, **environment)
    assert ran.returncode == 0, ran.stderr
    return ran


def environments(path: Path) -> list[str]:
    """Return the names of a project's environments."""
    return sorted(each.name for each in (path / ".venvs").glob("[0-9a-f]*"))
