"""The standard streams of programs, and what preloaded modules print before there is a program.

The streams are opened once, in the process that supervisors are forked from. Each program connects
descriptors 1 and 2 to its own pipes. So a module that has kept `sys.stdout` when it was preloaded prints
where its program prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from io import TextIOWrapper

_STDOUT, _STDERR = 1, 2
_READ_SIZE = 1 << 20


def open_streams() -> None:
    """Make print() write to file descriptors 1 and 2.

    The streams are line-buffered: an interim result is visible when it is printed, not when the buffer is
    full. Their other properties are those of the interpreter's own streams, which the locale decides.
    """
    out, err = sys.__stdout__, sys.__stderr__
    encoding, errors = getattr(out, "encoding", "utf-8"), getattr(out, "errors", "strict")
    sys.stdout = sys.__stdout__ = _stream(_STDOUT, encoding, errors, "<stdout>")  # type: ignore[misc]  # some print there
    encoding = getattr(err, "encoding", "utf-8")
    sys.stderr = sys.__stderr__ = _stream(_STDERR, encoding, "backslashreplace", "<stderr>")  # type: ignore[misc]  # too


def _stream(fd: int, encoding: str, errors: str, name: str) -> TextIOWrapper:
    """Open a stream while the descriptor is a pipe's: it notes for ever whether it can seek."""
    kept, (read_end, write_end) = os.dup(fd), os.pipe()
    os.dup2(write_end, fd)
    raw = io.FileIO(fd, "w", closefd=False)
    raw.name = name
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)
    stream.mode = "w"  # type: ignore[misc]  # the interpreter's have one
    os.dup2(kept, fd)
    for each in (kept, read_end, write_end):
        os.close(each)
    return stream


def standard_streams() -> list[TextIOWrapper | None]:
    """Return what stands in the place of the standard streams at this moment, each object once."""
    found = (getattr(sys, name, None) for name in ("stdout", "stderr", "__stdout__", "__stderr__"))
    return list({id(each): each for each in found}.values())


class Printed:
    """What is printed from its making until `take`: each program prints it again, as if it had come there."""

    def __init__(self) -> None:
        """Have descriptors 1 and 2 lead to files in memory."""
        self._files = [os.memfd_create("printed") for _ in range(2)]
        self._texts: list[bytes] = []
        for fd, file in zip((_STDOUT, _STDERR), self._files):  # noqa: B905  # Python 3.9 has no `strict`
            os.dup2(file, fd)

    def take(self) -> None:
        """Read what was printed; descriptors 1 and 2 have to lead elsewhere afterwards."""
        for stream in standard_streams():
            with contextlib.suppress(Exception):  # a module may have put anything there
                stream.flush()  # type: ignore[union-attr]  # or nothing
        for file in self._files:
            text, size = b"", os.fstat(file).st_size
            while len(text) < size and (chunk := os.pread(file, _READ_SIZE, len(text))):
                text += chunk
            self._texts.append(text)
            os.close(file)

    def print(self) -> None:
        """Print it again, to the pipes of this process."""
        for fd, text in zip((_STDOUT, _STDERR), self._texts):  # noqa: B905  # Python 3.9 has no `strict`
            written = 0
            while written < len(text):
                written += os.write(fd, text[written : written + _READ_SIZE])
