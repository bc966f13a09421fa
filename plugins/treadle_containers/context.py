"""A project as what its image is built from: the files that count, and a digest that tells it has changed."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class Context:
    """The files of a project that its .dockerignore does not leave out."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._rules = _rules(project / ".dockerignore")

    def signature(self) -> str:
        """Return what is different if a file may be: cheaper than the digest, and changed by a mere touch."""
        found = hashlib.sha256()
        for path in self._files():
            stat = path.lstat()
            fields = (path, stat.st_size, stat.st_mtime_ns, stat.st_mode, stat.st_ino)
            found.update("\0".join(map(str, fields)).encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def digest(self) -> str:
        """Return what is different as soon as a file is: its name, its mode or its content."""
        found = hashlib.sha256()
        for path in self._files():
            mode = path.lstat().st_mode
            found.update(f"{path.relative_to(self._project)}\0{mode}\0".encode("utf-8", "surrogateescape"))
            if path.is_symlink():
                found.update(os.fsencode(path.readlink()))
            else:
                with path.open("rb") as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()[:16]

    def pack(self) -> IO[bytes]:
        """Return the files as a tar archive."""
        archive = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in self._files():
                tar.add(path, str(path.relative_to(self._project)), recursive=False)
        archive.seek(0)
        return archive

    def _files(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self._project):
            folders.sort()
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in sorted([*files, *links]):
                path = Path(folder, name)
                if name == "Dockerfile" or not self._left_out(path.relative_to(self._project)):
                    yield path

    def _left_out(self, path: Path) -> bool:
        """Say whether the last rule that matches the path, or a folder that it is in, leaves it out."""
        ways = [str(path), *(str(parent) for parent in path.parents)][:-1]
        left_out = False
        for keep, pattern in self._rules:
            if any(pattern.fullmatch(way) for way in ways):
                left_out = not keep
        return left_out


def _rules(path: Path) -> list[tuple[bool, re.Pattern[str]]]:
    """Read a .dockerignore: (whether the files are kept after all, what matches them)."""
    if not path.exists():
        return []
    rules = []
    for line in path.read_text("utf-8", "replace").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            keep = text.startswith("!")
            rules.append((keep, re.compile(_translate(text.removeprefix("!").strip().strip("/")))))
    return rules


def _translate(pattern: str) -> str:
    """Return the regular expression of a pattern: `*` and `?` stay within a name, `**` does not."""
    translated = ""
    for part in re.split(r"(\*\*/?|\*|\?)", pattern):
        translated += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return translated
