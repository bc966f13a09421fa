"""Standard output of the command line. What could not be written is an error of the command, never lost.

Python flushes standard output when it ends, and then prints a failure as a traceback; a large write that
fails leaves nothing to flush at all. So the file object below remembers its first error, whoever writes: a
command, click, rich, a plugin. `Output.finish` turns that error into the exit code.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BROKEN_PIPE = 141
"""The exit code when the reader of a pipe has gone: that of a process that SIGPIPE ended (128 + 13)."""


class Output(io.FileIO):
    """Standard output of this process, without a buffer, for as long as the process lives."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self.error: OSError | None = None
        """The first error of a write."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as the base class does, and remember an error."""
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    @classmethod
    def install(cls) -> Output:
        """Put a new Output below sys.stdout; called once, at the start of the process.

        Where a standard stream is closed, its descriptor is taken by /dev/null, so that no file gets its
        number; what is written to a closed standard output is an error. A character that the terminal's
        encoding does not have is written as an escape.
        """
        _open_closed()
        output, text = cls(), sys.stdout
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(output),
            encoding=text.encoding if text else "utf-8",
            errors="backslashreplace",
            line_buffering=os.isatty(1),
        )
        return output

    def finish(self, code: int) -> int:
        """Write what is buffered, and return the exit code: `code`, unless an output was lost."""
        with suppress(OSError):
            sys.stdout.flush()
        if (error := self.error) is None:
            return code
        detach_stdout()  # Python flushes once more
        if error.errno == errno.EPIPE:
            return BROKEN_PIPE
        say_error(f"standard output can't be written: {error.strerror}")
        return 1


def detach_stdout() -> None:
    """Lead standard output to /dev/null from now on, and forget what could not be written."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)
    sys.stdout.flush()
    if isinstance(raw := getattr(getattr(sys.stdout, "buffer", None), "raw", None), Output):
        raw.error = None


def say_error(text: str) -> None:
    """Print an error as one line on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(f"Error: {' '.join(text.split())}", err=True)


def _open_closed() -> None:
    """Give each closed standard stream a descriptor: standard output one that can't be written."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
            os.set_inheritable(null, True)
            if null != number:
                os.dup2(null, number)
                os.close(null)
