"""The starter: a process of the service's interpreter that forks one supervisor and goes.

It serves a single request.
"""

from __future__ import annotations

import json
import os
import sys

from . import containment, supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import NoReturn

STARTED = 0
"""Exit code: the supervisor has published itself."""
TAKEN = 3
"""Exit code: process.json was there already; nothing has been started."""
TRANSIENT_ERROR = 100
"""Exit code, with an errno added: the supervisor could not publish itself; nothing has been started."""


def main() -> None:
    """Read a request from stdin, fork its supervisor, and end; the program's process goes on from here.

    No frame of the supervisor is around the program then: it could hold up an exception or the
    interpreter's orderly end.
    """
    try:
        _launch(sys.stdin.buffer.read())
    except supervisor.Begin as begun:
        run = begun.run
    run()


def _launch(request: bytes) -> NoReturn:
    """Fork a supervisor for the request and end this process with the answer it gives.

    Raises Begin in the program's process.
    """
    read_end, write_end = os.pipe()
    fields = json.loads(request)
    kind = containment.enter(fields["contain"])
    if os.fork() == 0:
        os.close(read_end)
        supervisor_ = supervisor.Supervisor(kind, fields["place"])
        supervisor_.supervise(request, write_end)
        supervisor_.close()
        os._exit(0)
    os.close(write_end)
    answer = os.read(read_end, 1)
    if answer == supervisor.TRANSIENT_ERROR:
        os._exit(TRANSIENT_ERROR + os.read(read_end, 1)[0])
    os._exit({supervisor.STARTED: STARTED, supervisor.TAKEN: TAKEN}.get(answer, 1))
