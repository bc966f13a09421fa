"""The build context of a project: the files that its image is built from, and their digest.

What is ignored is decided here, by moby's own rules, and nowhere else: the container engines are sent what is
left. Both read a .dockerignore in the context, too, and one of them has rules of its own. So in place of the
project's they get one that names only itself and, if that is ignored, the Dockerfile, which they need and
then leave out of the image.

Dropped: docker-py's matcher. Where an ignored folder has one file that is not, it lets the others through.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from e2b_dockerfile_utils import PatternMatcher

from treadle_containers.dockerfile import dockerfile_of

_IGNORES = (".containerignore", ".dockerignore")
"""The first one that a project has counts, as for Podman; Docker knows the second one only."""


class Context:
    """The files and folders of a project without those that its .dockerignore excludes.

    The .dockerignore is read once; the files are listed anew by each method. Methods raise OSError.
    """

    def __init__(self, project: Path) -> None:
        """Read the rules; raise ValueError for one that is not valid, and OSError."""
        self._project = project
        path = dockerfile_of(project)
        self._dockerfile = path.name if path is not None else None
        self._ignore = next((path for name in _IGNORES if (path := project / name).exists()), None)
        self._matcher = PatternMatcher(_rules(self._ignore))

    def signature(self) -> str:
        """Return a hash of the files' metadata: an equal signature means that no file has changed.

        It is cheaper than the digest, and a `touch` changes it, too.
        """
        signature = hashlib.sha256()
        for name, found in self._entries():
            fields = (name, found.st_size, found.st_mtime_ns, found.st_mode, found.st_ino)
            signature.update("\0".join(map(str, fields)).encode("utf-8", "surrogateescape"))
        return signature.hexdigest()

    def digest(self) -> str:
        """Return a hash of the files' names, modes and contents, and of the folders' names and modes."""
        digest = hashlib.sha256()
        for name, found in self._entries():
            digest.update(f"{name}\0{found.st_mode}\0".encode("utf-8", "surrogateescape"))
            path = self._project / name
            if stat.S_ISLNK(found.st_mode):
                digest.update(os.fsencode(path.readlink()))
            elif stat.S_ISREG(found.st_mode):
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def pack(self) -> IO[bytes]:
        """Return the files as a tar archive, open at its start; the caller closes it."""
        archive = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, _ in self._entries():
                if name not in _IGNORES:
                    tar.add(self._project / name, name, recursive=False)
            self._add_ignore(tar)
        archive.seek(0)
        return archive

    def _add_ignore(self, tar: tarfile.TarFile) -> None:
        """Add the .dockerignore for the engine, if the project has one."""
        if self._ignore is None:
            return
        hidden = [*_IGNORES]
        if self._dockerfile is not None and self._matcher.matches(self._dockerfile):
            hidden.append(self._dockerfile)
        content = "".join(f"{name}\n" for name in hidden).encode()
        member = tarfile.TarInfo(".dockerignore")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield files, symbolic links and folders, by their names in the project, in a stable order."""
        for folder, folders, files in os.walk(self._project, onerror=_raise):
            inside = "" if (place := os.path.relpath(folder, self._project)) == "." else f"{place}/"
            kept = []
            for name in sorted((*folders, *files)):
                found = Path(folder, name).lstat()
                ignored = self._matcher.matches(inside + name)
                if (not ignored or inside + name == self._dockerfile) and _is_packed(found.st_mode):
                    yield inside + name, found
                if stat.S_ISDIR(found.st_mode) and (
                    not ignored or self._matcher.may_match_under(inside + name)
                ):
                    kept.append(name)
            folders[:] = kept


def _raise(error: OSError) -> None:
    raise error


def _is_packed(mode: int) -> bool:
    """Return whether something of a mode is packed: to open a fifo would wait for its writer."""
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)


def _rules(path: Path | None) -> list[str]:
    return [] if path is None else path.read_text("utf-8-sig", "surrogateescape").splitlines()
