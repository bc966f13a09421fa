"""The end of a program that was forked: what the interpreter does at its end, without taking itself down."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import NoReturn


def run_and_exit(run_program: Callable[[], None]) -> NoReturn:
    """Run the program and exit as a forked process does: join threads, call exit handlers, flush output.

    The interpreter is not finalized, which costs more than all the rest; multiprocessing does not do it
    either. The rest of the stack is not unwound: that would only write to memory shared with the supervisor.
    """
    code = 0
    try:
        run_program()
    except SystemExit as error:
        code = _exit_code(error.code)
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the program may have closed or replaced it
            stream.flush()
    os._exit(code)


def _exit_code(argument: object) -> int:
    """Return the exit code for an argument of sys.exit(), by the interpreter's rules."""
    if argument is None:
        return 0
    if isinstance(argument, int):
        return argument & 0xFF
    sys.stderr.write(f"{argument}\n")
    return 1
