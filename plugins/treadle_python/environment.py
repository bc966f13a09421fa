"""What a program finds around it: its interpreter and its environment variables."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from treadle import Attempt, Service, StartError

_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE"
    r"|LD_LIBRARY_PATH|(CUDA|NVIDIA)_\w+"
)
"""Of the engine's own environment, only this reaches a program: secrets stay where they are."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What numerical libraries read; without it each job takes every CPU of the host for itself."""


def interpreter(service: Service) -> Path:
    """Return the service's Python; raise StartError if there is none."""
    if service.python is None:
        return Path(sys.executable)
    path = service.python / "bin" / "python" if service.python.is_dir() else service.python
    if not os.access(path, os.X_OK):
        raise StartError(
            "PYTHON_NOT_FOUND", f"{path} is not a Python interpreter: set `python` in treadle.toml"
        )
    return path


def of_service(service: Service, python: Path, cpus: int) -> dict[str, str]:
    """Return what is the same for all of a service's programs; their libraries may use so many threads."""
    variables = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    venv = python.parent.parent
    if (venv / "pyvenv.cfg").exists():
        variables["VIRTUAL_ENV"] = str(venv)
        variables["PATH"] = f"{python.parent}{os.pathsep}{variables.get('PATH', os.defpath)}"
    return {**variables, **dict.fromkeys(_THREADS, str(cpus)), **service.environment}


def of_attempt(attempt: Attempt) -> dict[str, str]:
    """Return what an attempt's program finds besides what is the same for all of its service's."""
    name, _, value = mark(attempt).partition("=")
    return {
        "TREADLE_JOB_ID": attempt.job.id,
        "TREADLE_SERVICE": attempt.service.name,
        name: value,
    }


def mark(attempt: Attempt) -> str:
    """Return the variable that every process of the attempt has in its environment, and no other process."""
    return f"TREADLE_ATTEMPT={attempt.spool_id}/{attempt.job.id}/{attempt.number}"
