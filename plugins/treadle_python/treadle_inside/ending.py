"""The end of a program that was forked: as that of a new process, as far as anybody can see.

The interpreter's own end costs more than all the rest of a small job. Most programs leave nothing for it to
do. So `run_and_exit` joins threads, runs the exit handlers, flushes the streams of Python and of C, and
looks at what the program has left. It exits at once unless there is something that needs a real end:

- an object with a finaliser: an open file, whose buffer is to be written, an archive that lacks its end, a
  generator within a `try`, an object with `__del__`;
- a library of C, C++ or Fortran that the program has loaded, with buffers and destructors of its own. It
  stays loaded when no object of Python refers to it any more.

What was there before the fork does not count. For a service whose `preload` leaves such objects (`leaves`),
each of its programs comes to a real end. Where that has loaded libraries, they come to theirs: by exit(3),
which runs what they have registered, and not the interpreter's end.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import posix  # a program may have changed os
import sys

from .streams import standard_streams

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

_fflush = ctypes.CDLL(None).fflush
_exit = ctypes.PyDLL(None).exit  # which holds the lock of the interpreter, as in its own end
_IN_MEMORY = frozenset({io.BytesIO, io.StringIO})
"""Kinds with a finaliser that has nothing to do."""
_LARGE = 1 << 31
"""Exit codes from here on do not fit into the interpreter's integer."""


class _Library(ctypes.Structure):
    """What dl_iterate_phdr tells of a library: the begin of `struct dl_phdr_info` in <link.h>."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_void_p),
        ("number", ctypes.c_ushort),
        ("loads", ctypes.c_ulonglong),
    )


def _take_loads(library: Any, _size: int, loads: Any) -> int:
    loads[0] = library[0].loads
    return 1  # it is the same for all of them: no other one is told of


_Loads = ctypes.POINTER(ctypes.c_ulonglong)
_TAKE_LOADS = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, _Loads)(_take_loads)
_each_library = ctypes.PyDLL(None).dl_iterate_phdr  # which holds the lock of the interpreter, as it has to


def _loads() -> int:
    """Return how many libraries this process has ever loaded."""
    loads = ctypes.c_ulonglong()
    _each_library(_TAKE_LOADS, ctypes.byref(loads))
    return loads.value


def _has_an_end(kind: type) -> bool:
    try:
        return hasattr(kind, "__del__") or issubclass(kind, ctypes.CDLL)
    except Exception:  # noqa: BLE001  # a metaclass may raise anything
        return True


class Beginning:
    """The objects and the libraries that are there when it is made, to tell later ones from them."""

    def __init__(self) -> None:
        gc.freeze()
        self._loads = _loads()

    def leaves(self) -> bool:
        """Return whether there is something new that a real end of the interpreter would bring to an end."""
        return self.leaves_objects() or self.leaves_libraries()

    def leaves_libraries(self) -> bool:
        """Return whether libraries have been loaded."""
        return _loads() != self._loads

    def leaves_objects(self) -> bool:
        """Return whether a new object has a finaliser, or is a library that ctypes has loaded."""
        kinds = set(map(type, gc.get_objects())) - _IN_MEMORY
        return any(map(_has_an_end, kinds))

    def flush_files(self) -> None:
        """Write out what new files have in their buffers: what is forked has the same buffers."""
        for each in gc.get_objects():
            if issubclass(type(each), io.IOBase):
                with contextlib.suppress(Exception):  # it is closed, or only for reading
                    each.flush()


def run_and_exit(run_program: Callable[[], None], *, to_the_end: bool, libraries: bool) -> None:
    """Run the program and exit with its code.

    With to_the_end it is always a real end of the interpreter; libraries says whether some were preloaded.

    Such an end is a SystemExit that is raised here. So whoever calls this catches nothing, and has no object
    left whose file descriptor is another one's by now.
    """
    beginning = Beginning()
    code = 0
    try:
        run_program()
    except SystemExit as error:
        if not (error.code is None or (isinstance(error.code, int) and abs(error.code) < _LARGE)):
            gc.unfreeze()
            raise  # the interpreter prints a message, or has its own rules
        code = (error.code or 0) & 0xFF
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    with contextlib.suppress(BaseException):  # before Python 3.10 the last error is raised again
        atexit._run_exitfuncs()
    for stream in standard_streams():
        try:
            stream.flush()  # type: ignore[union-attr]  # the program may have put None there
        except Exception:  # noqa: BLE001  # the program has closed or replaced it: the interpreter has its rules
            to_the_end = True
    if to_the_end or beginning.leaves():
        gc.unfreeze()  # what is frozen is never finalised
        sys.exit(code)
    if libraries:
        _exit(code)
    _fflush(None)
    posix._exit(code)
