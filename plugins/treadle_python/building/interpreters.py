"""The Python interpreters of this host, and the choice of the one that an environment is made with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from treadle import StartError
from treadle_python.building.version_request import Version, VersionRequest

OLDEST = (3, 8)
"""The first version that runs the programs of services (bootstrap.py)."""
_TIMEOUT = 20.0
_QUESTION = (
    "import json, sys, sysconfig; base = getattr(sys, '_base_executable', None); "
    "print(json.dumps([base or sys.executable, list(sys.version_info[:3]), sys.implementation.name, "
    "sysconfig.get_platform()]))"
)
_ON_PATH = re.compile(r"python3(?:\.(\d+))?")
_IN_FOLDER = re.compile(r"(?:cpython-)?3\.(\d+)(?:\.\d+)?(?:-.*)?")
_USUAL = ("/usr/local/bin", "/usr/bin")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter as it describes itself; of an environment's it is the one that this was made with."""

    path: Path
    version: Version
    implementation: str
    platform: str

    @property
    def name(self) -> str:
        """Its version, for a person."""
        return ".".join(map(str, self.version))


def choose(project: Path, request: VersionRequest | None) -> Interpreter:
    """Return the interpreter for a project's environment: the engine's own if it will do, else the newest.

    It starts interpreters, so it blocks for some hundred milliseconds. Raises StartError if none will do.
    """
    own = ask(Path(sys.executable))
    if own is not None and (request is None or request.accepts(own.version)):
        return own
    seen = {} if own is None else {own.path: own}
    for path in _candidates(request):
        found = ask(path)
        if found is None:
            continue
        if found.version >= OLDEST and (request is None or request.accepts(found.version)):
            return found
        seen[found.path] = found
    asked = "any Python" if request is None else f"Python {request.text} ({request.origin})"
    here = ", ".join(sorted({each.name for each in seen.values()} | _names(_all()))) or "none"
    raise StartError(
        "PYTHON_NOT_FOUND",
        f"{project} asks for {asked}, and this host has {here}; Treadle uses 3.8 and later. Install it, or "
        "change what the project asks for",
    )


def ask(path: Path) -> Interpreter | None:
    """Have an interpreter describe itself; None if it can't."""
    try:
        ran = subprocess.run(
            [str(path), "-I", "-c", _QUESTION],
            capture_output=True,
            timeout=_TIMEOUT,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        base, version, implementation, platform = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(Path(base), tuple(version), implementation, platform)


def _candidates(request: VersionRequest | None) -> Iterator[Path]:
    """Yield the interpreters whose name does not rule them out, the newest first."""
    for minor, path in _all():
        if minor is None or request is None or any(request.accepts((3, minor, n)) for n in range(40)):
            yield path


def _all() -> list[tuple[int | None, Path]]:
    """Return the interpreters of this host with their minor versions, the newest first.

    They are those on the PATH, of pyenv and of uv. One without a number in its name is last.
    """
    found: dict[Path, int | None] = {}
    for folder in (*os.environ.get("PATH", os.defpath).split(os.pathsep), *_USUAL):
        for path in _listed(Path(folder or ".")):
            if name := _ON_PATH.fullmatch(path.name):
                found.setdefault(path, int(name[1]) if name[1] else None)
    for root in _roots():
        for version in _listed(root):
            if name := _IN_FOLDER.fullmatch(version.name):
                found.setdefault(version / "bin" / "python3", int(name[1]))
    return sorted(
        ((minor, path) for path, minor in found.items() if os.access(path, os.X_OK)),
        key=lambda each: -1 if each[0] is None else each[0],
        reverse=True,
    )


def _roots() -> Iterable[Path]:
    """Return the folders in which pyenv and uv keep interpreters."""
    home = os.environ.get("HOME") or "/nonexistent"
    data = os.environ.get("XDG_DATA_HOME") or f"{home}/.local/share"
    return (
        Path(os.environ.get("PYENV_ROOT") or f"{home}/.pyenv", "versions"),
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or f"{data}/uv/python"),
    )


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _names(found: Iterable[tuple[int | None, Path]]) -> set[str]:
    return {f"3.{minor}" for minor, _ in found if minor is not None}
