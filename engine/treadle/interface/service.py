"""Services: what can be run. A service is a project folder, as the public templates and CLI make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Types = type | tuple[type, ...]

PYTHON_TEMPLATE = "python-template"
CONTAINER = "container"
"""Whichever container runtime this host has."""


KEYS: Mapping[str, Types] = {
    "name": str,
    "runtime": str,
    "parser": str,
    "entrypoint": str,
    "python": str,
    "timeout": (int, float),
    "concurrency": int,
    "environment": dict,
    "retry": str,
}
"""The top-level keys of treadle.toml; runtimes add theirs."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What planqk.json says a service needs."""

    cpu: float | None = None
    """Number of virtual CPUs."""
    memory: float | None = None
    """GB."""
    gpu: Mapping[str, Any] | None = None
    """`type` and `count`."""


@dataclass(frozen=True, slots=True)
class Service:
    """Something that can be run, as its project says."""

    name: str
    path: Path
    """The project folder."""
    description: str = ""
    service_id: str | None = None
    """The id that planqk.json gives it on the hosted platform."""
    runtime: str = PYTHON_TEMPLATE
    parser: str = "planqk"
    entrypoint: str = "src.program:run"
    """`module:function`."""
    python: Path | None = None
    """The interpreter to run it with, or a virtual environment; None leaves it to the runtime."""
    timeout: float | None = None
    """Seconds an execution may take; None for as long as it likes."""
    concurrency: int | None = None
    """How many of its jobs may run at a time; None for as many as the engine runs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    retry: str = "lost"
    """`lost`: a job whose attempt was lost (a power cut, say) is started again; `never`: it fails."""
    resources: Resources = Resources()
    openapi: Mapping[str, Any] = field(default_factory=dict)
    """Its openapi-spec.yml."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of treadle.toml, for its runtime."""

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """Return one of the schemas it publishes (`inputData`, `inputParams`, …), or None."""
        found = self.openapi.get("components", {}).get("schemas", {}).get(name)
        return found if isinstance(found, Mapping) else None
