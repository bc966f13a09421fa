"""What the failure of a tool means to a user: its last lines, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOLD = 4
"""Lines of a tool's output that an error has, from the end, besides the one that tells the cause."""
_LONGEST = 300
"""Characters of a line that are told."""
_NOISE = re.compile(r"WARNING: Retrying|Looking in |Using (CPython|Python) |Creating virtual environment")

_NO_NETWORK = (
    "no package index can be reached: on a connected host `treadle wheels` collects a wheel folder; here "
    "build with `--offline --find-links DIR`"
)
_REMEDIES = (
    (r"No space left on device", "the disk is full"),
    (
        r"ensurepip is not available|No module named '?(ensurepip|venv)",
        "this Python can make no environment: install its venv package (on Debian python3-venv), or uv",
    ),
    (
        r"name resolution|Network is unreachable|dns error|NewConnectionError|error sending request"
        r"|Failed to establish a new connection|Connection refused|Read timed out|timed out\b.*https?://",
        _NO_NETWORK,
    ),
    (
        r"command '?\S*(gcc|g\+\+|cc|clang|gfortran)'? failed|(gcc|g\+\+|cc|clang): (command )?not found"
        r"|Unknown compiler|No such file or directory: '\S*(gcc|g\+\+|cc|clang)'|Compiler \S+ can ?not",
        "a package has to be compiled, and that failed: install a compiler (on Debian build-essential) and "
        "Python's headers, or require a version that has a wheel for this Python",
    ),
    (r"lockfile .* needs to be updated|uv lock`", "uv.lock does not fit pyproject.toml: run `uv lock`"),
    (
        r"No matching distribution found|was not found in the (package registry|provided package locations)"
        r"|no versions? of|no wheels? with a matching|not found in the cache",
        "no package of that name and version fits this Python and platform: {where}",
    ),
    (
        r"ResolutionImpossible|conflicting dependencies|unsatisfiable|No solution found",
        "the requirements contradict each other: loosen one of the versions that are named",
    ),
)
_ONLINE = "look at its spelling and version, and at the Python that the project asks for"
_OFFLINE = "add its wheel to the wheel folder; `treadle wheels` collects them on a connected host"


def explain(what: str, output: Sequence[str], *, offline: bool) -> str:
    """Return an error for a tool that has failed: what it did, its last lines, the remedy if it is known."""
    lines = [line.strip()[:_LONGEST] for line in output if line.strip()]
    told = [line for line in lines if not _NOISE.match(line)][-_TOLD:]
    for pattern, remedy in _REMEDIES:
        if cause := next((line for line in lines if re.search(pattern, line)), None):
            told = told if cause in told or _NOISE.match(cause) else [cause, *told]
            end = remedy.format(where=_OFFLINE if offline else _ONLINE)
            return f"{what} failed: {' | '.join(told)} ({end})"
    return f"{what} failed: {' | '.join(told)}"
