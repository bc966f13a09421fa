"""The build context of a project: the files that its image is built from, and their digest."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class Context:
    """The files of a project without those that its .dockerignore excludes.

    The .dockerignore is read once; the files are listed anew by each method.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._rules = _rules(project / ".dockerignore")

    def signature(self) -> str:
        """Return a hash of the files' metadata: an equal signature means that no file has changed.

        It is cheaper than the digest, and a `touch` changes it, too.
        """
        signature = hashlib.sha256()
        for path in self._files():
            found = path.lstat()
            fields = (path, found.st_size, found.st_mtime_ns, found.st_mode, found.st_ino)
            signature.update("\0".join(map(str, fields)).encode("utf-8", "surrogateescape"))
        return signature.hexdigest()

    def digest(self) -> str:
        """Return a hash of the files' names, modes and contents."""
        digest = hashlib.sha256()
        for path in self._files():
            mode = path.lstat().st_mode
            digest.update(f"{path.relative_to(self._project)}\0{mode}\0".encode("utf-8", "surrogateescape"))
            if path.is_symlink():
                digest.update(os.fsencode(path.readlink()))
            else:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def pack(self) -> IO[bytes]:
        """Return the files as a tar archive, open at its start; the caller closes it."""
        archive = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in self._files():
                tar.add(path, str(path.relative_to(self._project)), recursive=False)
        archive.seek(0)
        return archive

    def _files(self) -> Iterator[Path]:
        """Yield regular files and symbolic links, in a stable order."""
        for folder, folders, files in os.walk(self._project):
            folders.sort()
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in sorted([*files, *links]):
                path = Path(folder, name)
                if not (stat.S_ISREG(mode := path.lstat().st_mode) or stat.S_ISLNK(mode)):
                    continue  # to open a fifo would wait for its writer
                if name == "Dockerfile" or not self._excluded(path.relative_to(self._project)):
                    yield path

    def _excluded(self, path: Path) -> bool:
        """Return whether the last rule that matches the path, or one of its folders, excludes it."""
        candidates = [str(path), *(str(parent) for parent in path.parents)][:-1]
        excluded = False
        for negated, pattern in self._rules:
            if any(pattern.fullmatch(candidate) for candidate in candidates):
                excluded = not negated
        return excluded


def _rules(path: Path) -> list[tuple[bool, re.Pattern[str]]]:
    """Read a .dockerignore: for each rule whether it begins with `!`, and its pattern."""
    if not path.exists():
        return []
    rules = []
    for line in path.read_text("utf-8", "replace").splitlines():
        rule = line.strip()
        if rule and not rule.startswith("#"):
            negated = rule.startswith("!")
            rules.append((negated, re.compile(_translate(rule.removeprefix("!").strip().strip("/")))))
    return rules


def _translate(pattern: str) -> str:
    """Return the regular expression of a pattern: `*` and `?` match within a name, `**` across folders."""
    translated = ""
    for part in re.split(r"(\*\*/?|\*|\?)", pattern):
        translated += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return translated
