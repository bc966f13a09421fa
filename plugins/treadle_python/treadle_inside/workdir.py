"""The folder that programs work in, one after the other: each finds it empty."""

from __future__ import annotations

import os


class Workdir:
    """A folder of this process's own; what a program leaves in it goes with the program."""

    def __init__(self, place: str, pid: int) -> None:
        """Make it below place, with a name that tells whose it is. Raises OSError."""
        self.path = os.path.join(place, f"{pid}-work")
        self.remove()  # of a process that had this pid before
        self._make()

    def clear(self) -> None:
        """Have it empty, and as it was made. Raises OSError if it can't be made anew."""
        try:
            if self._look() == self._made and not os.listdir(self.path):
                return
        except OSError:
            pass  # the program has removed it, or has forbidden to look
        self.remove()
        self._make()

    def remove(self) -> None:
        """Remove it, and what is in it; most programs leave nothing."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            import shutil  # noqa: PLC0415  # it brings libraries that every fork would have to copy

            shutil.rmtree(self.path, ignore_errors=True)

    def _make(self) -> None:
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        self._made = self._look()

    def _look(self) -> tuple[int, ...]:
        found = os.stat(self.path)
        return found.st_ino, found.st_mode, found.st_uid, found.st_gid
