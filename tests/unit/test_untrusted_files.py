"""Files of a job's folder are opened by one helper: every other open of a file has its reason here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_architecture import ENGINE, PLUGINS, ROOT, SPOOL, modules

OPENS = frozenset({"open", "read_bytes", "read_text", "write_bytes", "write_text", "touch"})
"""The names of functions and methods that open a file by its path."""
OTHERS = {"InterimList.open", "Spool.open", "tarfile.open"}
"""Calls with such a name that open no file of a job's folder by its path."""
ALLOWED = {
    "engine/treadle/api/incoming.py": "a new file in tmp/",
    "engine/treadle/cli/backends/dropping.py": "drop/ and bad/, where no program of a job writes",
    "engine/treadle/cli/backends/server.py": "a URL",
    "engine/treadle/cli/init.py": "a new project",
    "engine/treadle/cli/output.py": "/dev/null",
    "engine/treadle/cli/payload.py": "a file that the user names",
    "engine/treadle/cli/run.py": "the spool of one command, which is removed with it",
    "engine/treadle/intake/posted.py": "data pools are the operator's, opened without following links",
    "engine/treadle/intake/project_folders.py": "the service's project",
    "engine/treadle/intake/projects.py": "the service's project",
    "engine/treadle/intake/validation_process.py": "/proc",
    "engine/treadle/interface/inputs.py": "input/, opened without following links",
    "engine/treadle/support/replacing.py": "folders, without following links, and files that must be new",
    "engine/treadle/support/toml.py": "configuration",
    "engine/treadle/testing": "tests",
    "engine/treadle/watch/folder_watch.py": "the watched folder",
    "spool/treadle_spool/boot.py": "/proc",
    "spool/treadle_spool/clock.py": "/proc",
    "spool/treadle_spool/draft.py": "a new file in tmp/",
    "spool/treadle_spool/dropped.py": "drop/, opened without following links",
    "spool/treadle_spool/durable.py": "new files, and folders for their fsync",
    "spool/treadle_spool/folder.py": "attempt.json in a folder that was just made; no link is followed",
    "spool/treadle_spool/identity.py": "spool.json",
    "spool/treadle_spool/left.py": "left.jsonl, in the spool's root",
    "spool/treadle_spool/lock.py": "the engine's lock, and /proc",
    "spool/treadle_spool/mending.py": "folders, and files that must be new",
    "spool/treadle_spool/place.py": "a file that must be new, for a trial",
    "spool/treadle_spool/publication.py": "folders, opened without following links",
    "spool/treadle_spool/quarantine.py": "bad/, without following links",
    "spool/treadle_spool/removal.py": "folders, opened without following links",
    "spool/treadle_spool/schemas.py": "the schemas of this repository",
    "spool/treadle_spool/services.py": "a new file in tmp/, and reload in the spool's root, no link followed",
    "spool/treadle_spool/untrusted.py": "the helper itself",
    "plugins/treadle_containers/context.py": "the build context: the service's project",
    "plugins/treadle_containers/spec.py": "/proc",
    "plugins/treadle_containers/images.py": "the log of a build, and an image's archive",
    "plugins/treadle_containers/dockerfile.py": "the service's project",
    "plugins/treadle_docker/images.py": "an image's archive",
    "plugins/treadle_podman": "an image's archive, podman's own log, /proc",
    "plugins/treadle_python/building": "the service's project, its environments, and those of conda",
    "plugins/treadle_python/exits.py": "the attempt's folder, to list it, without following links",
    "plugins/treadle_python/host_mounts.py": "/proc",
    "plugins/treadle_python/isolation.py": "a folder of its own, for a trial",
    "plugins/treadle_python/leftovers.py": "/proc",
    "plugins/treadle_python/mount_table.py": "/proc and /sys",
    "plugins/treadle_python/supervisor_handle.py": "/proc",
}
"""The files and folders that open files themselves, and why nothing that a program has touched harms them."""


def opens(path: Path) -> Iterator[str]:
    """Yield the calls of a module that open a file by its path, each with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.rpartition(".")[2] in OPENS and name not in OTHERS:
                yield f"{name}, line {node.lineno}"


CHECKED = [
    path for path in modules(ENGINE) + modules(SPOOL) + modules(PLUGINS) if "treadle_inside" not in path.parts
]


def is_allowed(path: Path) -> bool:
    name = str(path.relative_to(ROOT))
    return any(name == each or name.startswith(f"{each}/") for each in ALLOWED)


@pytest.mark.parametrize("path", CHECKED, ids=str)
def test_nothing_but_the_helper_opens_what_a_program_could_have_touched(path):
    assert is_allowed(path) or list(opens(path)) == []


def test_every_exception_is_used():
    opening = [str(path.relative_to(ROOT)) for path in CHECKED if list(opens(path))]
    assert [
        each for each in ALLOWED if not any(name == each or name.startswith(f"{each}/") for name in opening)
    ] == []
