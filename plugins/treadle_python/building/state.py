"""Whether a service lacks its environment: what `serve`, `run` and `doctor` say of it, in one line."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys

from treadle import Service, StartError
from treadle_python.building.builder import requirements_digest
from treadle_python.building.requirements import CONDA, LOCK, Requirements, requirements_of
from treadle_python.building.store import Store, made_environment
from treadle_python.building.version_request import version_request

_SHOWN = 4


def lack(service: Service) -> str | None:
    """Return what is not installed of what a service requires, with the remedy; None if all is there.

    It reads some files, and starts nothing. Of an environment that Treadle has not made nothing is said.
    """
    try:
        return _lack(service)
    except (StartError, OSError) as error:
        return f"what it requires is not known: {error}"


def _lack(service: Service) -> str | None:
    store = Store(service.path)
    if store.is_elsewhere(service.python) or (store.is_foreign() and store.link.is_dir()):
        return None
    remedy = f"run `treadle build {shlex.quote(str(service.path))}`"
    requirements = requirements_of(service.path)
    request = version_request(service.path, service.python_version)
    if (made := store.current()) is not None:
        if made.requirements == requirements_digest(service.path, requirements, request):
            return None
        return f"what its environment was made from has changed: {remedy}"
    if made_environment(service.path) is not None:
        return f"its environment is incomplete, or the Python of it is gone: {remedy}"
    if requirements is not None and requirements.kind == CONDA:
        return f"{requirements.file.name} has no environment yet; to learn how to make it, {remedy}"
    if requirements is not None and (missing := _missing(requirements)):
        return f"{requirements.file.name} is not installed ({missing}): {remedy}"
    if request is not None and not request.accepts(tuple(sys.version_info[:3])):
        return (
            f"it asks for Python {request.text} ({request.origin}), and has no environment with it: {remedy}"
        )
    return None


def _missing(requirements: Requirements) -> str:
    """Return the packages that this interpreter, which is used without an environment, does not have."""
    if not requirements.names:
        return "there is no environment" if requirements.lines or requirements.kind == LOCK else ""
    missing = [name for name in requirements.names if not _is_here(name)]
    return ", ".join(missing[:_SHOWN]) + (" and more" if len(missing) > _SHOWN else "")


def _is_here(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
