"""The end of a program that was forked: as that of a new process, as far as anybody can see.

The interpreter's own end costs more than all the rest of a small job. Most programs leave nothing for it to
do. So `run_and_exit` joins threads, runs the exit handlers, flushes the streams of Python and of C, and
looks at what the program has left. It exits at once unless there is something that needs a real end:

- an object with a finaliser: an open file, whose buffer is to be written, an archive that lacks its end, a
  generator within a `try`, an object with `__del__`;
- a library of C, C++ or Fortran that the program has loaded, with buffers and destructors of its own.

What was there before the fork does not count. For a service whose `preload` leaves such objects (`leaves`),
each of its programs comes to a real end.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import os
import sys
from importlib.machinery import ExtensionFileLoader
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable

_fflush = ctypes.CDLL(None).fflush
_IN_MEMORY = frozenset({io.BytesIO, io.StringIO})
"""Kinds with a finaliser that has nothing to do."""


class Beginning:
    """The objects and the modules that are there when it is made, to tell later ones from them."""

    def __init__(self) -> None:
        gc.freeze()
        self._modules = len(sys.modules)

    def leaves(self) -> bool:
        """Return whether there is something new that a real end of the interpreter would bring to an end."""
        if self.leaves_objects():
            return True
        # From the end: to look at the older ones would copy the pages that they are in.
        new = islice(reversed(sys.modules.values()), max(0, len(sys.modules) - self._modules))
        specs = (getattr(module, "__spec__", None) for module in new)
        return any(isinstance(getattr(spec, "loader", None), ExtensionFileLoader) for spec in specs)

    def leaves_objects(self) -> bool:
        """Return whether a new object has a finaliser, or is a library that ctypes has loaded."""
        kinds = set(map(type, gc.get_objects())) - _IN_MEMORY
        return any(hasattr(kind, "__del__") or issubclass(kind, ctypes.CDLL) for kind in kinds)

    def flush_files(self) -> None:
        """Write out what new files have in their buffers: what is forked has the same buffers."""
        for each in gc.get_objects():
            if isinstance(each, io.IOBase):
                with contextlib.suppress(Exception):  # it is closed, or only for reading
                    each.flush()


def run_and_exit(run_program: Callable[[], None], *, to_the_end: bool) -> None:
    """Run the program and exit with its code; with to_the_end always by a real end of the interpreter.

    Such an end is a SystemExit that is raised here. So whoever calls this catches nothing, and has no object
    left whose file descriptor is another one's by now.
    """
    beginning = Beginning()
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
    if to_the_end or beginning.leaves():
        gc.unfreeze()  # what is frozen is never finalised
        sys.exit(code)
    _fflush(None)
    os._exit(code)


def _exit_code(argument: object) -> int:
    """Return the exit code for an argument of sys.exit(), by the interpreter's rules."""
    if argument is None:
        return 0
    if isinstance(argument, int):
        return argument & 0xFF
    sys.stderr.write(f"{argument}\n")
    return 1
