"""The interpreter and the environment variables of a program."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from treadle import Attempt, Service, StartError

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
    """Return the path of the service's Python. Raises StartError if it is not executable."""
    if service.python is None:
        return Path(sys.executable)
    path = service.python / "bin" / "python" if service.python.is_dir() else service.python
    if not os.access(path, os.X_OK):
        raise StartError(
            "PYTHON_NOT_FOUND", f"{path} is not a Python interpreter: set `python` in treadle.toml"
        )
    return path


def of_service(service: Service, cpus: int, python: Path | None = None) -> dict[str, str]:
    """Return the variables of all programs of a service; cpus caps the threads of their libraries.

    The executables of a virtual environment come first on the PATH: that of python, else of the service.
    """
    variables = inherited()
    bin_folder = _bin_folder(python or service.python)
    if bin_folder is not None and (bin_folder.parent / "pyvenv.cfg").exists():
        variables["VIRTUAL_ENV"] = str(bin_folder.parent)
        variables["PATH"] = f"{bin_folder}{os.pathsep}{variables.get('PATH', os.defpath)}"
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
