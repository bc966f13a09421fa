"""The names of modules that a project has as well as the standard library.

A plain run finds the project's `random.py` before that of the standard library. Treadle has imported modules
for itself by then, so it gives back the names of those for which the project has its own.
"""

from __future__ import annotations

import contextlib
import os
import sys

from . import MODULES_BEFORE


def give_back(project: str) -> None:
    """Forget modules that were imported since Treadle's first one, if the project has one of that name."""
    names: set[str] = set()
    with contextlib.suppress(OSError):
        names = {name.partition(".")[0] for name in os.listdir(project)} - {__package__}
    for name in [each for each in sys.modules if each.partition(".")[0] in names]:
        if name not in MODULES_BEFORE:
            del sys.modules[name]
