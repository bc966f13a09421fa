"""The interpreter and the environment variables of a program."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from treadle import Attempt, Service, Unavailable
from treadle_python.building import conda
from treadle_python.building.store import FOLDER, LINK, made_environment

MARK = "TREADLE_ATTEMPT"
"""The variable that tells the processes of an attempt from all others (`mark`)."""
_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE"
    r"|LD_LIBRARY_PATH|(CUDA|NVIDIA)_\w+"
)
"""The variables of the engine that a program inherits; no others, because they may be secrets."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""The variables that cap the threads of numerical libraries; without them each job uses every CPU."""


def interpreter(service: Service) -> Path:
    """Return the path of the service's Python at this moment. Raises Unavailable if it is not executable."""
    python = python_of(service)
    if python is None:
        if service.python_version is not None:
            raise Unavailable(
                "PYTHON_NOT_FOUND",
                f"there is no environment with Python {service.python_version}: "
                f"`treadle build {service.path}` makes it",
            )
        if os.path.islink(link := f"{service.path}/{LINK}"):  # noqa: PTH114  # text, each time a job is started
            raise Unavailable(
                "PYTHON_NOT_FOUND",
                f"{link} leads to no folder: remove it, and `treadle build {service.path}` makes one",
            )
        return Path(sys.executable)
    path = python / "bin" / "python" if python.is_dir() else python
    if not os.access(path, os.X_OK):
        remedy = "set `python` in treadle.toml"
        if path.is_relative_to(service.path / FOLDER):
            remedy = f"`treadle build {service.path}` makes it again"
        raise Unavailable("PYTHON_NOT_FOUND", f"{path} is not a Python interpreter: {remedy}")
    return path


def python_of(service: Service) -> Path | None:
    """Return the interpreter or environment of the attempts that begin now; None: the engine's interpreter.

    The link `.venv` that `treadle build` makes is resolved, so that an attempt keeps its environment when the
    link is switched. It may also have appeared after the service was read.
    """
    python, made = service.python, made_environment(service.path)
    if made is None:
        own = service.path / LINK
        return python or (own if own.is_dir() else None)
    if python is None:
        return made
    text, link = str(python), f"{service.path}/{LINK}"  # text, each time a job is started
    if text == link:
        return made
    return Path(f"{made}{text[len(link) :]}") if text.startswith(f"{link}/") else python


def of_service(service: Service, cpus: int, python: Path | None = None) -> dict[str, str]:
    """Return the variables of all programs of a service; cpus caps the threads of their libraries.

    The executables of an environment come first on the PATH: that of python, else of the service. For one
    of conda they are those of its activation, which may run scripts: that blocks, the first time.
    """
    variables = inherited()
    bin_folder = _bin_folder(python or python_of(service))
    if bin_folder is not None:
        path, prefix = variables.get("PATH", os.defpath), bin_folder.parent
        if conda.is_prefix(prefix):  # a link may lead to it, and its name is the folder's
            variables["PATH"] = f"{bin_folder.resolve()}{os.pathsep}{path}"
            variables = conda.activated(prefix.resolve(), variables)
        elif (prefix / "pyvenv.cfg").exists():
            variables["PATH"] = f"{bin_folder}{os.pathsep}{path}"
            variables["VIRTUAL_ENV"] = str(prefix)
    return {**variables, **dict.fromkeys(_THREAD_VARIABLES, str(cpus)), **service.environment}


def _bin_folder(python: Path | None) -> Path | None:
    """Return the folder of an interpreter, or of the executables of a virtual environment."""
    if python is None:
        return None
    return python / "bin" if python.is_dir() else python.parent


def inherited() -> dict[str, str]:
    """Return those variables of the engine's own environment that its programs inherit."""
    return {name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)}


def cpus_of(service: Service, jobs: int) -> int:
    """Return the number of CPUs that the threads of a program's libraries should use.

    It is that of the service, else its share of the host's CPUs if so many jobs run at the same time.
    """
    if service.resources.cpu is not None:
        return max(1, int(service.resources.cpu))
    return max(1, (os.cpu_count() or 1) // jobs)


def of_attempt(attempt: Attempt) -> dict[str, str]:
    """Return the variables of one attempt's program, in addition to those of its service."""
    name, _, value = mark(attempt).partition("=")
    return {
        "TREADLE_JOB_ID": attempt.job.id,
        "TREADLE_SERVICE": attempt.service.name,
        name: value,
    }


def mark(attempt: Attempt) -> str:
    """Return the `name=value` that every process of the attempt has in its environment, and no other."""
    return f"{MARK}={attempt.spool_id}/{attempt.job.id}/{attempt.number}"
