"""The runtime `python-template`: a new process of the service's interpreter for every execution."""

from __future__ import annotations

from treadle import Diagnosis, Runtime, Settings, hookimpl
from treadle_python.runtime import PythonRuntime

__all__ = ["PythonRuntime", "diagnose", "register_runtimes"]


@hookimpl
def register_runtimes(settings: Settings) -> list[Runtime]:
    """Provide the runtime, with `contain` (`auto`, `namespace`, `subreaper`) and `idle` of its section."""
    return [PythonRuntime(**settings.of_plugin("python-template"), jobs=settings.jobs)]


@hookimpl
async def diagnose() -> list[Diagnosis]:
    """Say which interpreter is used."""
    return [await PythonRuntime().diagnose()]
