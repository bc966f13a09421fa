"""The runtime `podman`: containers of Podman."""

from __future__ import annotations

from typing import ClassVar

from treadle import Diagnosis, Runtime, Settings, hookimpl
from treadle_containers import ContainerRuntime, Section
from treadle_podman.engine import PodmanEngine

__all__ = ["PodmanEngine", "PodmanRuntime", "diagnose", "register_runtimes"]


class PodmanRuntime(ContainerRuntime):
    """Runs attempts as containers of Podman; one instance for each Treadle process."""

    name: ClassVar[str] = "podman"


def _runtime(settings: Settings) -> PodmanRuntime:
    section = settings.section("podman", Section)
    return PodmanRuntime(
        PodmanEngine(section.url), patience=section.patience, stranger_grace=section.stranger_grace
    )


@hookimpl
def register_runtimes(settings: Settings) -> list[Runtime]:
    """Return the runtime, made from the plugin's section."""
    return [_runtime(settings)]


@hookimpl
async def diagnose(settings: Settings) -> list[Diagnosis]:
    """Report whether the engine answers, through a client of its own."""
    return await _runtime(settings).diagnose_and_close()
