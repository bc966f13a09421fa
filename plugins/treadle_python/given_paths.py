"""What a command on the host is given: the paths that it needs, should they lie where something is covered.

| path | how, in the spool | how, in /tmp or /dev/shm |
| --- | --- | --- |
| the project | to be written to | likewise |
| the environment of the interpreter, and what that was made from | read-only | to be written to |
| an executable, with what is beside it | - | to be written to |
| what the command reads | read-only, but for the project | likewise |
| what it writes, its working folder | to be written to | likewise |

A path that leads through a link is there by its own name, too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence

from treadle import Attempt, Command
from treadle_python.bootstrap import HERE
from treadle_python.environment import python_of
from treadle_python.python_template import PythonCall
from treadle_python.treadle_inside.mounts import READ_ONLY, READ_WRITE

Row = tuple[str, str, str]
"""Source, target and mode (treadle_inside/mounts.py)."""
TMP_FOLDER, SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108  # they are covered
Given = tuple[str, str | None, str]
"""A path, its mode in the spool (None: it is not given there) and its mode elsewhere."""


class GivenPaths:
    """Finds the paths of commands. It remembers where they lead, until it is told to forget."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, ...]] = {}
        """By path, its real one and, if it is another one, itself."""

    def forget(self) -> None:
        """Look at each path again."""
        self._names.clear()

    def of(self, attempt: Attempt, command: Command) -> Iterator[Given]:
        """Yield what a command is given."""
        if isinstance(command, PythonCall):
            yield str(command.project), READ_WRITE, READ_WRITE
            yield _environment(str(command.python)), READ_ONLY, READ_WRITE
            yield _environment(self._names_of(str(command.python))[0]), READ_ONLY, READ_WRITE
            yield str(HERE), READ_ONLY, READ_ONLY
            return
        yield _home(command.argv[0], command.environment.get("PATH")), None, READ_WRITE
        if (python := python_of(attempt.service)) is not None:
            yield str(python) if python.is_dir() else _environment(str(python)), READ_ONLY, READ_WRITE
        for mount in command.reads:
            mode = READ_WRITE if mount.source == attempt.service.path else READ_ONLY
            yield str(mount.source), mode, mode
        for mount in command.writes:
            yield str(mount.source), READ_WRITE, READ_WRITE
        if command.workdir is not None:
            yield str(command.workdir), READ_WRITE, READ_WRITE

    def in_spool(self, given: Iterable[Given], spool: str) -> Iterator[Row]:
        """Yield the rows of what lies in the spool."""
        for path, mode, _ in given:
            if mode is not None:
                # What lies in the spool is mostly of one job.
                yield from self._rows(path, [spool], mode, remember=not path.startswith(f"{spool}/"))

    def elsewhere(self, given: Iterable[Given], covers: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of what lies below other covers; all jobs have mostly the same."""
        for path, _, mode in given:
            yield from self._rows(path, covers, mode, remember=True)

    def _rows(self, path: str, covers: Sequence[str], mode: str, *, remember: bool) -> Iterator[Row]:
        real_covers = [self._names_of(cover)[0] for cover in covers]
        names = self._names_of(path, remember=remember)
        for name in names:
            if any(name.startswith(f"{cover}/") for cover in real_covers):
                yield names[0], name, mode

    def _names_of(self, path: str, *, remember: bool = True) -> tuple[str, ...]:
        names = self._names.get(path)
        if names is None:
            real = os.path.realpath(path)
            names = (real,) if real == path else (real, path)
            if remember:  # what lies in the spool is mostly of one job
                self._names[path] = names
        return names


def _environment(python: str) -> str:
    """Return the folder of an environment, by its interpreter."""
    return os.path.dirname(os.path.dirname(python))  # noqa: PTH120  # text, each time a job is started


def _home(program: str, path: str | None) -> str:
    """Return what an executable is likely to need: its folder, or the one above its bin/; in /tmp, itself."""
    found = (program if os.path.isabs(program) else shutil.which(program, path=path)) or program  # noqa: PTH117  # text
    folder = os.path.dirname(found)  # noqa: PTH120  # likewise
    if os.path.basename(folder) == "bin":  # noqa: PTH119  # likewise
        folder = os.path.dirname(folder)  # noqa: PTH120  # likewise
    return found if folder in (TMP_FOLDER, SHARED_MEMORY) else folder
