"""The starter: a process of the service's interpreter that forks one keeper and goes.

It serves a single request.
"""

from __future__ import annotations

import json
import os
import sys

from . import containment, keeper

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

STARTED = 0
"""Exit code: the keeper has published itself."""
TAKEN = 3
"""Exit code: process.json was there already; nothing has been started."""
TROUBLE = 100
"""Exit code, with an errno added: the keeper could not publish itself; nothing has been started."""


def main() -> None:
    """Read a request from stdin, fork its keeper, and end; the program's process goes on from here."""
    request = json.load(sys.stdin)
    become_program = _launch(request)
    become_program()


def _launch(request: dict[str, Any]) -> Callable[[], None]:
    """Fork a keeper for the request and end this process with the answer it gives.

    Returns only in the program's process: what that is to call, with no frame of the keeper's
    around it that could hold up an exception or the interpreter's orderly end.
    """
    read_end, write_end = os.pipe()
    kind = containment.enter(request["contain"])
    if os.fork() == 0:
        os.close(read_end)
        become_program = keeper.Keeper(kind).keep(request, write_end)
        if become_program is None:
            os._exit(0)
        return become_program
    os.close(write_end)
    answer = os.read(read_end, 1)
    if answer == keeper.TROUBLE:
        os._exit(TROUBLE + os.read(read_end, 1)[0])
    os._exit({keeper.STARTED: STARTED, keeper.TAKEN: TAKEN}.get(answer, 1))
