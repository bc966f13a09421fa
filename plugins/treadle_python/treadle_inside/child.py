"""A child of a supervisor: forked in advance, it becomes the program when it has its request."""

from __future__ import annotations

import os


class Child:
    """A forked process that waits for its request and then becomes the program."""

    def __init__(self, pid: int, request_fd: int, stdout: int, stderr: int) -> None:
        """Own the write end of its request, and the read ends of its output."""
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self._request_fd = request_fd

    def send(self, request: bytes) -> bool:
        """Send the request; if the process has ended meanwhile, close this child and return False."""
        try:
            while request:
                request = request[os.write(self._request_fd, request) :]
        except BrokenPipeError:
            self.close()
            return False
        os.close(self._request_fd)
        return True

    def close(self) -> None:
        """Close all pipes; a process that has no request ends then."""
        for fd in (self._request_fd, self.stdout, self.stderr):
            os.close(fd)
