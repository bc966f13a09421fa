"""Services: what jobs run. A service is a project folder, as the public templates and CLI make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Types = type | tuple[type, ...]

PYTHON_TEMPLATE = "python-template"
CONTAINER = "container"
"""The runtimes for containers; the engine chooses one that works on this host."""


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
"""The top-level keys of treadle.toml, with their types. Runtimes add further ones (Runtime.options)."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a service needs, by its planqk.json."""

    cpu: float | None = None
    """Number of virtual CPUs."""
    memory: float | None = None
    """In GB."""
    gpu: Mapping[str, Any] | None = None
    """An object with `type` and `count`."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its project configures it.

    A value, read once when the engine or an API process starts. A change of the project's settings counts
    after the next start.
    """

    name: str
    path: Path
    """The project folder."""
    description: str = ""
    service_id: str | None = None
    """The service's id on the hosted platform, from planqk.json."""
    runtime: str = PYTHON_TEMPLATE
    parser: str = "planqk"
    entrypoint: str = "src.program:run"
    """`module:function`."""
    python: Path | None = None
    """An interpreter or a virtual environment; None: the runtime chooses the interpreter."""
    timeout: float | None = None
    """Seconds that an execution may take; None: no limit."""
    concurrency: int | None = None
    """How many of its jobs may run at a time; None: as many as the engine runs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    retry: str = "lost"
    """`lost`: a job whose attempt was lost, as in a power cut, is started again; `never`: it fails."""
    resources: Resources = Resources()
    openapi: Mapping[str, Any] = field(default_factory=dict)
    """The content of its openapi-spec.yml."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The further keys of treadle.toml that runtimes have added."""

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """Return a schema of its OpenAPI document (`inputData`, `inputParams`, …), or None."""
        schema = self.openapi.get("components", {}).get("schemas", {}).get(name)
        return schema if isinstance(schema, Mapping) else None
