"""The environments of a project on the disk: `.venvs/<digest>`, and `.venv`, a link to the current one.

1. An environment is made at its last place, since its scripts have that path in them, under a lock that is
   inherited by the tools that make it. So a second build waits, even if the first one was killed and its pip
   lives.
2. When it is complete it is brought to the disk, and only then its record (`made.json`) is written. A folder
   without a record is half made: it is never used, and the next build removes it, if its name is a digest:
   what else lies in the folder is the user's own.
3. The link is replaced by a rename. What runs goes on in the environment that it began with, since the link
   is resolved at the start of an attempt (`made_environment`); so the environment before is kept.

A `.venv` that is anything else is not touched. Dropped: to remove earlier environments at each build. Jobs of
other hosts, with the same disk, can't be seen here.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from treadle import StartError, replace_file

LINK, FOLDER = ".venv", ".venvs"
_RECORD, _LOCK, _PREVIOUS = "made.json", ".lock", ".previous"
_DRAFT = ".new"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_LOOK_AGAIN = 0.2
"""Seconds after which a lock that another build holds is tried again."""


@dataclass(frozen=True, slots=True)
class Made:
    """The record of a complete environment."""

    requirements: str
    """The digest of what it was made from, as far as it can be told without starting an interpreter."""
    python: str
    installer: str


def made_environment(project: Path) -> Path | None:
    """Return the environment that the project's link leads to, if `treadle build` has made it."""
    try:
        target = os.readlink(f"{project}/{LINK}")  # noqa: PTH115  # text, each time a job is started
    except OSError:
        return None
    folder, _, digest = target.partition("/")
    return Path(f"{project}/{FOLDER}/{digest}") if folder == FOLDER and digest else None


class Store:
    """The environments of one project. What changes them is called while `lock` is held."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.link = project / LINK
        self.folder = project / FOLDER

    def is_foreign(self) -> bool:
        """Return whether there is a `.venv` that is not ours."""
        return os.path.lexists(self.link) and made_environment(self.project) is None

    def is_elsewhere(self, python: Path | None) -> bool:
        """Return whether the interpreter or environment that a service names has nothing to do with these."""
        return python is not None and not python.is_relative_to(self.link)

    def current(self) -> Made | None:
        """Return the record of the current environment, if it is complete and its interpreter is there."""
        path = made_environment(self.project)
        return None if path is None else self.record(path.name)

    def is_current(self, digest: str) -> bool:
        """Return whether the link leads to an environment of that digest, and it is complete."""
        return made_environment(self.project) == self.path(digest) and self.record(digest) is not None

    def path(self, digest: str) -> Path:
        """Return the place of an environment."""
        return self.folder / digest

    def record(self, digest: str) -> Made | None:
        """Return an environment's record; None if it is half made, or its interpreter is gone."""
        made = self._record(digest)
        return made if os.access(self.path(digest) / "bin" / "python", os.X_OK) else None

    @asynccontextmanager
    async def lock(self, report: Callable[[str], None]) -> AsyncIterator[int]:
        """Hold the lock of the project's builds; yield its descriptor, which the tools are to inherit.

        Raises StartError if the folder can't be written to.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            if not (ignored := self.folder / ".gitignore").exists():
                ignored.write_text("*\n")
            fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StartError(
                "BUILD_FAILED", f"{self.folder} can't be written to: {error.strerror}"
            ) from error
        try:
            await _hold(fd, lambda: report(f"waiting for another build of {self.project}"))
            yield fd
        finally:
            os.close(fd)

    def remove(self, digest: str) -> None:
        """Remove an environment; its record goes first, so that it is never taken for a complete one."""
        path = self.path(digest)
        (path / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            raise StartError("BUILD_FAILED", f"{path} can't be removed: remove it, and build again")

    def remove_half_made(self) -> None:
        """Remove what interrupted builds have left, except what `.venv` leads to.

        One whose interpreter is gone stays: it may be that of another host with the same disk.
        """
        current = made_environment(self.project)
        for path in self._all():
            if _DIGEST.fullmatch(path.name) and self._record(path.name) is None and path != current:
                self.remove(path.name)
        for draft in (*self.project.glob(f"{LINK}.*{_DRAFT}"), *self.folder.glob(f"{_PREVIOUS}.*{_DRAFT}")):
            draft.unlink(missing_ok=True)

    def complete(self, digest: str, made: Made) -> None:
        """Bring an environment to the disk, and record that it is complete."""
        os.sync()
        content = json.dumps(asdict(made), indent=1).encode() + b"\n"
        replace_file(self.path(digest), _RECORD, content, mode=0o644)
        os.sync()

    def switch(self, digest: str) -> None:
        """Have the link lead to a complete environment, and remember the one before."""
        before = made_environment(self.project)
        if before is not None and before.name == digest:
            return
        if before is not None:
            _relink(self.folder / _PREVIOUS, before.name)
        self.lead_to(f"{FOLDER}/{digest}")

    def lead_to(self, target: str) -> None:
        """Replace the link at once; raise StartError if there is a `.venv` that is not ours."""
        if self.is_foreign():
            raise StartError("BUILD_FAILED", f"{self.link} was made by somebody else meanwhile")
        _relink(self.link, target)

    def earlier(self) -> list[str]:
        """Return the environments that are neither the current one nor the one before."""
        kept = {made_environment(self.project)}
        with contextlib.suppress(OSError):
            kept.add(self.folder / (self.folder / _PREVIOUS).readlink())
        return [path.name for path in self._all() if path not in kept and self._record(path.name)]

    def prune(self) -> list[str]:
        """Remove the earlier environments that no process of this host uses; return those that are left."""
        earlier = set(self.earlier())
        used = {digest for digest in earlier if _is_used(f"{FOLDER}/{digest}".encode())}
        for digest in earlier - used:
            self.remove(digest)
        return sorted(used)

    def _record(self, digest: str) -> Made | None:
        try:
            return Made(**json.loads((self.path(digest) / _RECORD).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _all(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from (path for path in self.folder.iterdir() if not path.name.startswith("."))


def _relink(link: Path, target: str) -> None:
    draft = link.with_name(f"{link.name}.{os.getpid()}{_DRAFT}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    try:
        draft.rename(link)
    except OSError as error:
        draft.unlink()
        raise StartError("BUILD_FAILED", f"{link} can't be replaced: {error.strerror}") from error


async def _hold(fd: int, waits: Callable[[], None]) -> None:
    """Take a lock; call waits once if another process holds it. May be cancelled."""
    told = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                told = True
                waits()
            await asyncio.sleep(_LOOK_AGAIN)
        else:
            return


def _is_used(mark: bytes) -> bool:
    """Return whether a process of this host has the mark in its arguments, variables or mapped files."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ", "maps"):
            with contextlib.suppress(OSError):  # it has ended, or is of another user
                if mark in (process / name).read_bytes():
                    return True
    return False
