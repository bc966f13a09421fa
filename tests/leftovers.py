"""What the tests leave in a container engine: nothing. Images are removed at the end, the rest is a fault."""

from __future__ import annotations

import subprocess

from tests.images import client

_LISTS = {
    "container": ("ps", "-a", "-q", "--no-trunc"),
    "volume": ("volume", "ls", "-q"),
    "image": ("images", "--format", "{{.Repository}}:{{.Tag}}"),
    "layer": ("images", "-q", "--no-trunc", "--filter", "dangling=true"),
}
_OURS = "localhost/treadle"
"""How the names of the images begin that the tests and their services make."""

_before: dict[str, dict[str, set[str]]] = {}
"""By engine: what it had before the first test that uses it."""


def remember(engine: str) -> None:
    """Remember what an engine has before it is used by a test."""
    _before.setdefault(engine, {kind: _listed(engine, kind) for kind in _LISTS})


def remove_containers(spool_id: str) -> None:
    """Remove the containers of a spool: jobs outlive their engine, and not their test."""
    for engine in _before:
        if made := _run(engine, "ps", "-a", "-q", "--filter", f"label=treadle.spool={spool_id}").split():
            # Its engine may be removing one at this moment; what stays is told by `left`.
            subprocess.run([client(engine), "rm", "-f", "-v", *made], capture_output=True, check=False)


def remove_images() -> None:
    """Remove the images that the tests have made, and what is left of builds that failed."""
    for engine in _before:
        if layers := _new(engine, "layer"):
            _run(engine, "rmi", "-f", *layers)
        if made := {each for each in _new(engine, "image") if each.startswith(_OURS)}:
            _run(engine, "rmi", "-f", *made)
        if layers := _new(engine, "layer"):
            _run(engine, "rmi", "-f", *layers)


def left() -> dict[str, set[str]]:
    """Return what the engines have that they had not before, by engine and kind."""
    found = {f"{engine} {kind}": _new(engine, kind) for engine in _before for kind in _LISTS}
    return {key: names for key, names in found.items() if names}


def _new(engine: str, kind: str) -> set[str]:
    return _listed(engine, kind) - _before[engine][kind]


def _listed(engine: str, kind: str) -> set[str]:
    return set(_run(engine, *_LISTS[kind]).split("\n")) - {""}


def _run(engine: str, *arguments: str) -> str:
    command = [client(engine), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
