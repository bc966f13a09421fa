"""The spawn process: a new interpreter of the service that forks one supervisor for one request, and ends.

It is the plain start, where a fork server is not wanted or not possible.
"""

from __future__ import annotations

import os
import sys

from . import containment
from .limits import limit_files
from .names import give_back
from .namespaces import UsedUp
from .protocol import (
    ALREADY_PUBLISHED,
    EXIT_ALREADY_PUBLISHED,
    EXIT_STARTED,
    EXIT_TRANSIENT_ERROR,
    STARTED,
    TRANSIENT_ERROR,
    head_of,
)
from .streams import open_streams
from .supervisor import RunProgram, Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import NoReturn


def main() -> None:
    """Read a request from stdin, fork its supervisor, and end; the program's process continues from here.

    Then no frame of the supervisor is on the stack around the program: such a frame could catch an exception
    or disturb the normal exit of the interpreter.
    """
    try:
        _launch(memoryview(bytearray(sys.stdin.buffer.read())))
    except RunProgram as raised:
        run = raised.run
    run()


def _launch(request: memoryview) -> NoReturn:
    """Fork a supervisor for the request, and end this process with the exit code for its first reply.

    Raises RunProgram in the program's process.
    """
    read_end, write_end = os.pipe()
    fields = head_of(request)
    limit_files(fields.get("files"))
    open_streams()
    give_back(fields.get("project", ""))
    try:
        kind = containment.enter(fields["contain"])
    except UsedUp as error:
        os._exit(EXIT_TRANSIENT_ERROR + (error.errno or 0))
    if os.fork() == 0:
        os.close(read_end)
        engine = fields.get("reply_fd")  # an engine of an earlier version waits for this process to end
        supervisor = Supervisor(kind, fields)
        supervisor.supervise(request, write_end, engine)
        if engine is not None:
            supervisor.ends.wait_until_taken(engine)
        supervisor.close()
        os._exit(0)
    os.close(write_end)
    reply = os.read(read_end, 1)
    if reply == TRANSIENT_ERROR:
        os._exit(EXIT_TRANSIENT_ERROR + os.read(read_end, 1)[0])
    os._exit({STARTED: EXIT_STARTED, ALREADY_PUBLISHED: EXIT_ALREADY_PUBLISHED}.get(reply, 1))
