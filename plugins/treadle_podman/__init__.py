"""The runtime `podman`: containers of Podman."""

from __future__ import annotations

from typing import ClassVar

from treadle import Diagnosis, Runtime, Settings, hookimpl
from treadle_containers import ContainerRuntime
from treadle_podman.engine import PodmanEngine

__all__ = ["PodmanEngine", "PodmanRuntime", "diagnose", "register_runtimes"]


class PodmanRuntime(ContainerRuntime):
    """Runs attempts as containers of Podman."""

    name: ClassVar[str] = "podman"


def _runtime(settings: Settings) -> PodmanRuntime:
    section = dict(settings.of_plugin("podman"))
    return PodmanRuntime(PodmanEngine(section.pop("url", None)), **section)


@hookimpl
def register_runtimes(settings: Settings) -> list[Runtime]:
    """Provide the runtime, with `url`, `patience` and `stranger_grace` of its section."""
    return [_runtime(settings)]


@hookimpl
async def diagnose(settings: Settings) -> list[Diagnosis]:
    """Say whether the engine answers."""
    runtime = _runtime(settings)
    try:
        return [await runtime.diagnose()]
    finally:
        await runtime.close()
