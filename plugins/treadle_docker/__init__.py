"""The runtime `docker`: containers of a Docker engine."""

from __future__ import annotations

from typing import ClassVar

from treadle import Diagnosis, Runtime, Settings, hookimpl
from treadle_containers import ContainerRuntime, Section
from treadle_docker.engine import DockerEngine

__all__ = ["DockerEngine", "DockerRuntime", "diagnose", "register_runtimes"]


class DockerRuntime(ContainerRuntime):
    """Runs attempts as containers of a Docker engine; one instance for each Treadle process."""

    name: ClassVar[str] = "docker"


def _runtime(settings: Settings) -> DockerRuntime:
    section = settings.section("docker", Section)
    return DockerRuntime(
        DockerEngine(section.url), patience=section.patience, stranger_grace=section.stranger_grace
    )


@hookimpl
def register_runtimes(settings: Settings) -> list[Runtime]:
    """Return the runtime, made from the plugin's section."""
    return [_runtime(settings)]


@hookimpl
async def diagnose(settings: Settings) -> list[Diagnosis]:
    """Report whether the engine answers, through a client of its own."""
    return await _runtime(settings).diagnose_and_close()
