"""What a server prints and logs, written by threads: no reader makes the server wait.

A terminal that is paused (Ctrl-S), a pager, or a parent process that reads no more stops whoever writes to
it. In the event loop that would stop all jobs and every answer.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

_MOST = 10_000
"""Texts that wait for a reader; the next ones are left out, and their number is told."""


class Lines:
    """A text stream that writes to a descriptor in a thread of its own, in the order of the calls.

    Made once for a standard stream, at the start of the process; any thread may use it.
    """

    def __init__(self, fd: int, encoding: str, failed: Callable[[OSError], None]) -> None:
        """Write to fd. A text that can't be written is lost, and failed is called in the thread."""
        self._fd = fd
        self._encoding = encoding
        self._failed = failed
        self._texts: queue.Queue[bytes | threading.Event] = queue.Queue(_MOST)
        self._left_out = 0
        threading.Thread(target=self._write_all, name=f"lines-{fd}", daemon=True).start()

    def write(self, text: str) -> int:
        """Have a text written, which ends with its newline; return at once."""
        if self._left_out:
            text = f"({self._left_out} lines were left out here, since nobody read them)\n{text}"
        try:
            self._texts.put_nowait(text.encode(self._encoding, "backslashreplace"))
        except queue.Full:
            self._left_out += 1
        else:
            self._left_out = 0
        return len(text)

    def tell(self, line: str) -> None:
        """Have a line written."""
        self.write(f"{line}\n")

    def flush(self) -> None:
        """Do nothing: what is written is on its way."""

    def finish(self, timeout: float) -> None:
        """Wait until all is written, for so many seconds at most."""
        written = threading.Event()
        try:
            self._texts.put(written, timeout=timeout)
        except queue.Full:
            return
        written.wait(timeout)

    def _write_all(self) -> None:
        while True:
            if isinstance(text := self._texts.get(), threading.Event):
                text.set()
                continue
            try:
                while text:
                    text = text[os.write(self._fd, text) :]
            except OSError as error:
                self._failed(error)
