"""What is seen of project folders without reading their files: which there are, and which have changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

PLANQK, TOML = "planqk.json", "treadle.toml"
SPECS = ("openapi-spec.yml", "openapi-spec.yaml", "openapi-spec.json")
"""The names of an OpenAPI document; the first that exists counts."""
DOCKERFILES = ("Dockerfile", "Containerfile")
"""The names of the file that a container's image is built by; the first that exists counts."""
_SOURCES = ("src/program.py", "src/__init__.py", *DOCKERFILES)
_MARKS = (PLANQK, TOML, *_SOURCES)
"""Files that make a folder a project."""
_OF_THE_DISK = "lost+found"
_READ = (PLANQK, TOML, *SPECS)
_NOTICED = ("", *_SOURCES, "src", ".venv")
"""Files whose content is read, and those that count by being there; the first is the folder itself."""
_PRESENCE = attrgetter("st_dev", "st_ino", "st_mode")
_CONTENT = attrgetter("st_dev", "st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]+)"')
_NAME_IN_TOML = re.compile(r"""\A(?:(?![ \t]*\[).*\n)*?[ \t]*name[ \t]*=[ \t]*["']([^"'\\\n]+)["']""")
"""A name before the first table."""

Stamp = tuple[object, ...]
"""What tells one state of a project's files from another."""


def is_project(path: Path) -> bool:
    """Return whether the path is a folder with at least one typical file of a service project.

    A folder that can't be looked into, and a link that leads nowhere, count as one: they are broken projects.
    """
    try:
        if path.is_dir():
            return any((path / mark).exists() for mark in _MARKS)
        return path.is_symlink() and not path.exists()
    except OSError:
        return True


def projects_in(folder: Path) -> list[Path]:
    """Return the projects in a folder, in the order of their names; raise OSError if it can't be listed.

    A name that begins with a dot is passed over: it may be a project that is still being copied. So is the
    folder that a file system has at its root, which may not be looked into.
    """
    names = (path for path in folder.iterdir() if not path.name.startswith(".") and path.name != _OF_THE_DISK)
    return sorted(filter(is_project, names))


def stamp(path: Path) -> Stamp:
    """Return the stamp of a project's files; it changes when what `read_service` returns may have changed.

    Whatever else is in the folder, such as an environment or data, is not looked at.
    """
    return (
        *(_state(path / name, _CONTENT) for name in _READ),
        *(_state(path / name, _PRESENCE) for name in _NOTICED),
    )


def guessed_name(path: Path) -> str:
    """Return the name that a project most likely has whose files can't be read: theirs, else the folder's."""
    for file, pattern in ((path / TOML, _NAME_IN_TOML), (path / PLANQK, _NAME)):
        with suppress(OSError, ValueError):
            if file.is_file() and (match := pattern.search(file.read_text("utf-8"))):
                return match[1]
    return path.name


def _state(path: Path, fields: Callable[[os.stat_result], object]) -> object:
    """Return these fields of a file's metadata, or why it has none."""
    try:
        return fields(path.stat())
    except OSError as error:
        return error.errno
