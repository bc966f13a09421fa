"""The working folder of a supervisor's programs: each program finds it empty."""

from __future__ import annotations

import os


class Workdir:
    """A folder that belongs to one process and lives as long as that process.

    A program's files in it are removed when the program has ended. After a crash the engine removes the
    folder, because its name holds the pid of a dead process.
    """

    def __init__(self, parent: str, pid: int) -> None:
        """Make the folder below parent, with the owner's pid in its name. Raises OSError."""
        self.path = os.path.join(parent, f"{pid}-work")
        self.remove()  # of an earlier process that had this pid
        self._make()

    def clear(self) -> None:
        """Make the folder empty, with its original attributes. Raises OSError if it can't be made anew."""
        try:
            if self._attributes() == self._original and not os.listdir(self.path):
                return
        except OSError:
            pass  # the program has removed the folder, or has made it unreadable
        self.remove()
        self._make()

    def remove(self) -> None:
        """Remove the folder and its content; most programs leave none."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            import shutil  # noqa: PLC0415  # it loads libraries that every fork would have to copy

            shutil.rmtree(self.path, ignore_errors=True)

    def _make(self) -> None:
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        self._original = self._attributes()

    def _attributes(self) -> tuple[int, ...]:
        status = os.stat(self.path)
        return status.st_ino, status.st_mode, status.st_uid, status.st_gid
