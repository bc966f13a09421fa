"""Environments of conda and mamba: how one is found, and which variables its activation sets.

Nothing is made here: no channel is assumed to be reachable. An activation is what conda's own does, without
the parts for a prompt: the variables of the prefix, those of its packages and its state, then its scripts.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_STATE = Path("conda-meta", "state")
_OF_PACKAGES, _SCRIPTS = Path("etc", "conda", "env_vars.d"), Path("etc", "conda", "activate.d")
_UNSET = "***unset***"
"""The value in a prefix's state that removes a variable."""
_OF_THE_SHELL = {"_", "PWD", "OLDPWD", "SHLVL"}
_TIMEOUT = 30.0
_SOURCE = 'for each in "$@"; do . "$each"; done >/dev/null; env -0'


def is_prefix(path: Path) -> bool:
    """Return whether a folder is an environment of conda or mamba."""
    return (path / "conda-meta").is_dir()


def command_to_make(project: Path, file: Path, prefix: Path) -> str:
    """Return the command that makes an environment at a prefix."""
    tool = next((each for each in ("mamba", "micromamba", "conda") if shutil.which(each)), "conda")
    words = [tool, *([] if tool == "micromamba" else ["env"]), "create", "--prefix", prefix, "--file", file]
    return shlex.join(map(str, words))


def prefix_named(file: Path) -> Path | None:
    """Return the prefix on this host that has the name in an environment.yml; None if there is none."""
    found = re.search(r"^name:\s*['\"]?([^'\"#\s]+)", file.read_text("utf-8", "replace"), re.MULTILINE)
    if found is None:
        return None
    return next((path for path in _prefixes() if path.name == found[1] and is_prefix(path)), None)


def _prefixes() -> Iterator[Path]:
    """Yield the prefixes that conda has recorded for this user, and those in its usual folders."""
    home = Path(os.environ.get("HOME") or "/nonexistent")
    with suppress(OSError):
        yield from map(Path, (home / ".conda" / "environments.txt").read_text("utf-8").split("\n"))
    roots = [Path(root) for name in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX") if (root := os.environ.get(name))]
    if executable := os.environ.get("CONDA_EXE"):
        roots.append(Path(executable).parent.parent)
    for folder in (*roots, home / ".conda"):
        with suppress(OSError):
            yield from sorted((folder / "envs").iterdir())


def activated(prefix: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables as they are when the prefix is activated.

    Its scripts run once for each state of the prefix, which blocks for some milliseconds or more. One that
    fails is logged, and leaves the variables as they are without the scripts.
    """
    return dict(_activated(prefix, _stamp(prefix), tuple(sorted(variables.items()))))


@lru_cache(maxsize=64)
def _activated(
    prefix: Path, _: tuple[int, ...], given: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    variables = dict(given)
    variables["CONDA_PREFIX"] = str(prefix)
    variables["CONDA_DEFAULT_ENV"] = prefix.name if prefix.parent.name == "envs" else str(prefix)
    variables["CONDA_SHLVL"] = "1"
    of_state = _json(prefix / _STATE).get("env_vars")
    files = sorted((prefix / _OF_PACKAGES).glob("*.json"))
    for values in (*map(_json, files), of_state if isinstance(of_state, dict) else {}):
        for name, value in values.items():
            if value == _UNSET:
                variables.pop(name, None)
            else:
                variables[name] = str(value)
    if scripts := sorted((prefix / _SCRIPTS).glob("*.sh")):
        variables = _sourced(prefix, scripts, variables)
    return tuple(variables.items())


def _sourced(prefix: Path, scripts: list[Path], variables: dict[str, str]) -> dict[str, str]:
    """Return the variables after a shell has read the scripts."""
    shell = shutil.which("bash") or "/bin/sh"
    try:
        ran = subprocess.run(
            [shell, "-c", _SOURCE, "activate", *map(str, scripts)],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the activation scripts of %s failed: %s", prefix, error)
        return variables
    found = dict(each.split("=", 1) for each in os.fsdecode(ran.stdout).split("\0") if "=" in each)
    kept = {name: value for name, value in variables.items() if name in _OF_THE_SHELL}
    return kept | {name: value for name, value in found.items() if name not in _OF_THE_SHELL}


def _stamp(prefix: Path) -> tuple[int, ...]:
    """Return what changes when the prefix gets other variables or scripts."""
    paths = (prefix / _STATE, prefix / _OF_PACKAGES, prefix / _SCRIPTS, *(prefix / _SCRIPTS).glob("*.sh"))
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
