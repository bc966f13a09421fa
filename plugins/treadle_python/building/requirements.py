"""The requirements of a project: the files that its environment is made from."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle import StartError

TEXT, LOCK, PYPROJECT, CONDA = "requirements.txt", "uv.lock", "pyproject.toml", "environment.yml"
"""The kinds of requirements, each by the file that has them; the first that a project has counts."""

_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?=\S))(.+)")
_LOCAL = re.compile(r"(?:-e|--editable)(?:\s+|=|(?=\S))(.+)|(\.{0,2}/\S*|\.)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_OF_A_PACKAGE = ("pyproject.toml", "setup.py", "setup.cfg")
"""The files of a local package that say what it requires."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a project requires, as its files say at this moment."""

    kind: str
    file: Path
    """The file that decides."""
    files: tuple[Path, ...]
    """All files that count, with those that are included."""
    lines: tuple[str, ...] = ()
    """The requirements themselves; none for a lock, which only uv reads."""

    @property
    def names(self) -> tuple[str, ...]:
        """The packages that are required on every host; those with a marker are left out."""
        plain = [line for line in self.lines if not line.startswith("-") and ";" not in line]
        return tuple(found[0] for line in plain if "://" not in line and (found := _NAME.match(line)))


def digest_of(files: Iterable[Path], *texts: str) -> str:
    """Return a hash of the names and contents of files, and of texts."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    for text in texts:
        digest.update(f"{text}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def requirements_of(project: Path) -> Requirements | None:
    """Return what the project requires, or None if it requires nothing. Raises StartError."""
    if (file := project / TEXT).is_file():
        files: dict[Path, None] = {}
        if lines := tuple(_read(file, files)):
            return Requirements(TEXT, file, tuple(files), lines)
    elsewhere = None
    if (file := project / PYPROJECT).is_file():
        values = _values(file)
        lines, elsewhere = _dependencies(file, values), _elsewhere(values)
        if (lock := project / LOCK).is_file():
            return Requirements(LOCK, lock, (lock, file))
        if lines:
            return Requirements(PYPROJECT, file, (file,), lines)
    for name in (CONDA, "environment.yaml"):
        if (file := project / name).is_file():
            return Requirements(CONDA, file, (file,))
    if elsewhere is not None:
        raise StartError("BUILD_FAILED", f"{project / PYPROJECT}: {elsewhere}")
    return None


def pyproject(file: Path) -> dict[str, Any]:
    """Return the table `project` of a pyproject.toml; it is empty if there is none. Raises StartError."""
    return _table(_values(file), "project")


def _values(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StartError("BUILD_FAILED", f"{file} can't be read: {error}") from error


def _table(values: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        inner = values.get(name)
        values = inner if isinstance(inner, dict) else {}
    return values


def _elsewhere(values: dict[str, Any]) -> str | None:
    """Return what to do with a pyproject.toml that has dependencies which no standard says how to read."""
    dynamic = _table(values, "project").get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        return "its dependencies are dynamic, known to its build backend only: list them in requirements.txt"
    if _table(values, "tool", "poetry", "dependencies").keys() - {"python"}:
        return (
            "its dependencies are those of Poetry: write them to requirements.txt, by "
            "`poetry export --output requirements.txt`, or list them in `dependencies` below [project]"
        )
    return None


def _dependencies(file: Path, values: dict[str, Any]) -> tuple[str, ...]:
    dependencies = _table(values, "project").get("dependencies")
    if dependencies is None:
        return ()
    if not isinstance(dependencies, list) or not all(isinstance(each, str) for each in dependencies):
        raise StartError("BUILD_FAILED", f"{file}: project.dependencies must be a list of strings")
    return tuple(dependencies)


def _read(file: Path, files: dict[Path, None]) -> Iterator[str]:
    """Yield the requirements of a file and of those that it includes; add what is read to files."""
    if file in files:
        return
    files[file] = None
    try:
        text = file.read_text("utf-8-sig", "replace").replace("\\\n", "")
    except OSError as error:
        raise StartError("BUILD_FAILED", f"{file} can't be read: {error.strerror}") from error
    for raw in text.splitlines():
        line = _expanded(re.sub(r"(^|\s)#.*", "", raw).strip())
        if not line:
            continue
        if included := _INCLUDED.match(line):
            if "://" not in (name := _first_word(included[1])):
                inner = [*_read(file.parent / name, files)]
                yield from () if line.startswith(("-c", "--c")) else inner
            continue
        if local := _LOCAL.match(line):
            folder = file.parent / _first_word(local[1] or local[2]).partition("[")[0]
            files.update(dict.fromkeys(folder / name for name in _OF_A_PACKAGE))
            yield f"-e {folder}"
        elif not line.startswith("-"):
            yield line


def _expanded(line: str) -> str:
    """Return a line with the variables that pip and uv replace."""
    return _VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[0], line)


def _first_word(text: str) -> str:
    """Return a path as pip reads it: it may be quoted."""
    try:
        return shlex.split(text)[0]
    except (ValueError, IndexError):
        return text
