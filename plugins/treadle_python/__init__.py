"""The runtime `python-template`: a new process of the service's interpreter for every attempt."""

from __future__ import annotations

from treadle import Diagnosis, Runtime, Settings, hookimpl
from treadle_python.runtime import PythonRuntime

__all__ = ["PythonRuntime", "diagnose", "register_runtimes"]


@hookimpl
def register_runtimes(settings: Settings) -> list[Runtime]:
    """Provide the runtime; its section may set `contain` (`auto`, `namespace`, `subreaper`) and `idle`."""
    return [PythonRuntime(**settings.of_plugin("python-template"), jobs=settings.jobs)]


@hookimpl
async def diagnose() -> list[Diagnosis]:
    """Report which interpreter is used by default."""
    return [await PythonRuntime().diagnose()]
