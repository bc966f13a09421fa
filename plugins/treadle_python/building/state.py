"""Whether a service lacks its environment: what `serve`, `run` and `doctor` say of it, in one line."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys

from treadle import Service, StartError
from treadle_python.building.builder import requirements_digest
from treadle_python.building.requirements import CONDA, Requirements, requirements_of
from treadle_python.building.store import Store, made_environment
from treadle_python.building.version_request import version_request

_SHOWN = 4


def lack(service: Service) -> str | None:
    """Return what is not installed of what a service requires, with the remedy; None if all is there.

    It reads some files, and starts nothing. Of an environment that Treadle has not made nothing is said.
    """
    store = Store(service.path)
    if store.is_foreign() or (service.python is not None and not service.python.is_relative_to(store.link)):
        return None
    remedy = f"`treadle build {shlex.quote(str(service.path))}` does that"
    try:
        requirements = requirements_of(service.path)
        request = version_request(service.path, service.python_version)
    except StartError as error:
        return str(error)
    if (made := store.current()) is not None:
        if made.requirements == requirements_digest(service.path, requirements, request):
            return None
        return f"what its environment was made from has changed, and it is to be made again: {remedy}"
    if made_environment(service.path) is not None:
        return f"its environment is incomplete, or its Python is gone, and it is to be made again: {remedy}"
    if requirements is not None and requirements.kind == CONDA:
        return f"there is no environment for {requirements.file.name}; `treadle build` says how to make one"
    if requirements is not None and (missing := _missing(requirements)):
        return f"{missing} of {requirements.file.name} is to be installed: {remedy}"
    if request is not None and not request.accepts(tuple(sys.version_info[:3])):
        return (
            f"it asks for Python {request.text} ({request.origin}), and has no environment with it: {remedy}"
        )
    return None


def _missing(requirements: Requirements) -> str:
    """Return the packages that this interpreter, which is used without an environment, does not have."""
    if not requirements.names:
        return "what is named" if requirements.lines or requirements.kind.endswith(".lock") else ""
    missing = [name for name in requirements.names if not _is_here(name)]
    return ", ".join(missing[:_SHOWN]) + (" and more" if len(missing) > _SHOWN else "")


def _is_here(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
