"""The Python version that a project asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from treadle_python.building.requirements import PYPROJECT, pyproject

Version = tuple[int, ...]

_CLAUSE = re.compile(r"\s*(~=|===?|!=|<=|>=|<|>)?\s*v?(\d+(?:\.\d+)*)((?:\.\*)?)[A-Za-z0-9+.-]*\s*")
_PINNED = re.compile(r"(?:cpython[-@])?(\d+(?:\.\d+){0,2})(?![\w.])")
_FILE = ".python-version"


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """Which versions of Python will do, and where that is said."""

    text: str
    """One version, such as 3.12, of which each patch will do; or bounds, such as >=3.10,<3.13."""
    origin: str

    def accepts(self, version: Version) -> bool:
        """Return whether a version (three numbers) will do; what is not understood excludes nothing."""
        clauses = [_CLAUSE.fullmatch(each) for each in self.text.split(",") if each.strip()]
        return all(
            _holds(each[1] or "==", each[2], each[3] or not each[1], version) for each in clauses if each
        )


def version_request(project: Path, wanted: str | None) -> VersionRequest | None:
    """Return what the project asks for: wanted, which treadle.toml has, else what its other files say.

    A .python-version that names no version (an environment of pyenv, for instance) does not count. Raises
    StartError for a pyproject.toml that can't be read.
    """
    if wanted is not None:
        return VersionRequest(wanted, "`python` in treadle.toml")
    if (file := project / _FILE).is_file():
        for line in file.read_text("utf-8", "replace").splitlines():
            if pinned := _PINNED.match(line.strip()):
                return VersionRequest(pinned[1], _FILE)
    if (file := project / PYPROJECT).is_file():
        bounds = pyproject(file).get("requires-python")
        if isinstance(bounds, str) and bounds.strip():
            return VersionRequest(bounds, f"requires-python in {PYPROJECT}")
    return None


def _holds(operator: str, text: str, any_patch: object, version: Version) -> bool:
    """Return whether a version fulfils one clause; with any_patch only the numbers that are given count."""
    bound = tuple(map(int, text.split(".")))
    given = version[: len(bound)] if any_patch else version
    padded = bound if any_patch else (*bound, 0, 0)[: max(len(bound), len(version))]
    match operator:
        case "==" | "===":
            return given == padded
        case "!=":
            return given != padded
        case "~=":
            return version >= bound and version[: len(bound) - 1] == bound[:-1]
        case "<":
            return version < (*bound, 0, 0)[:3]
        case "<=":
            return version <= (*bound, 0, 0)[:3]
        case ">":
            return version > (*bound, 0, 0)[:3]
        case _:
            return version >= (*bound, 0, 0)[:3]
