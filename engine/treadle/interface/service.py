"""Services: what jobs run. A service is a project folder, as the public templates and CLI make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from treadle.interface.errors import ServiceError
from treadle.support.expected import keys_of
from treadle.support.toml import TomlFile
from treadle.support.typed import Place, to_struct

Options = TypeVar("Options", bound=msgspec.Struct)

PYTHON_TEMPLATE, CONTAINER = "python-template", "container"
"""Programs that a service has by default, as planqk.json or its files say."""
HOST = "host"
"""The runtime of programs that need no image. Those that need one run in the first runtime of the kind
`container` that works on this host."""
RENAMED_RUNTIMES = {PYTHON_TEMPLATE: HOST}
"""Runtimes that earlier versions knew, and recorded, by another name."""


VariableName = Annotated[str, Meta(pattern=r"^[^=\x00]+$")]
VariableValue = Annotated[str, Meta(pattern=r"^[^\x00]*$", title="a string")]
Variables = Annotated[
    Mapping[VariableName, VariableValue], Meta(title="a table of variables, whose names have no '='")
]


class ServiceFile(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of treadle.toml that are Treadle's own. Programs and runtimes add their `options`."""

    name: str | None = None
    """The service's name in URLs and job files; None: that of planqk.json, else the folder's."""
    program: str | None = None
    """How it is executed; None: as the runtime, planqk.json or the project's files say."""
    runtime: str | None = None
    """Where it is executed; None: where the program can be."""
    parser: str = "planqk"
    """The output parser that reads its standard output."""
    entrypoint: Annotated[str, Meta(pattern=":", title="'module:function'")] = "src.program:run"
    """The function that `python-template` calls."""
    python: Path | None = None
    """An interpreter or a virtual environment, relative to the project; None: its .venv, if there is one. Or
    the version of Python that its .venv is to be made with, such as "3.12"."""
    timeout: Annotated[float, Meta(gt=0)] | None = None
    """Seconds that an attempt may take; None: no limit."""
    concurrency: Annotated[int, Meta(gt=0)] | None = None
    """How many of its jobs may run at a time; None: as many as the engine runs."""
    environment: Variables = {}
    """Variables for its program."""
    retry: Literal["lost", "never"] = "lost"
    """Whether a job whose attempt was lost is started again."""


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

    A value: an attempt keeps the one that it began with. When the project changes, another one is read, and
    new jobs run by that.
    """

    name: str
    path: Path
    """The project folder."""
    description: str = ""
    service_id: str | None = None
    """The service's id on the hosted platform, from planqk.json."""
    program: str = PYTHON_TEMPLATE
    """How it is executed: the name of a Program."""
    runtime: str = HOST
    """Where it is executed: the name of a Runtime, or of a kind of them."""
    parser: str = "planqk"
    entrypoint: str = "src.program:run"
    """`module:function`."""
    python: Path | None = None
    """An interpreter or a virtual environment; None: the runtime chooses the interpreter."""
    python_version: str | None = None
    """The version of Python that its treadle.toml asks for, or bounds of it."""
    timeout: float | None = None
    """Seconds that an attempt may take; None: no limit."""
    concurrency: int | None = None
    """How many of its jobs may run at a time; None: as many as the engine runs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    retry: str = "lost"
    """`lost`: a job whose attempt was lost, as in a power cut, is started again; `never`: it fails."""
    resources: Resources = Resources()
    openapi: Mapping[str, Any] = field(default_factory=dict)
    """The content of its openapi-spec.yml."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The further keys of treadle.toml, of its program and its runtime: raw values by key, also those that
    stand in tables."""
    options_by_owner: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same for each program and runtime, by its name. One that is not named here has `options`."""
    file: TomlFile | None = field(default=None, repr=False, compare=False)
    """Its treadle.toml, for errors about the options."""
    _typed: dict[tuple[type, str | None], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def options_of(self, kind: type[Options], owner: str | None = None) -> Options:
        """Return the options that a struct declares, typed; raise ServiceError for a wrong value.

        For the program or runtime whose `options` are the struct. A runtime that shares a kind with others
        gives its name as owner, since their tables may differ. The struct is made once, so a call costs no
        more than a look into a dict.
        """
        if (typed := self._typed.get((kind, owner))) is None:
            given = self.options if owner is None else self.options_by_owner.get(owner, self.options)
            own = {key: given[key] for key in keys_of(kind) if key in given}
            typed = to_struct(own, kind, Place(ServiceError, str(self.path), self.file))
            self._typed[kind, owner] = typed
        result: Options = typed
        return result

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """Return a schema of its OpenAPI document (`inputData`, `inputParams`, …), or None."""
        schema = self.schemas.get(name)
        return schema if isinstance(schema, Mapping) else None

    @property
    def schemas(self) -> Mapping[str, Any]:
        """The schemas of its OpenAPI document by their names, as they stand in the document."""
        components = self.openapi.get("components")
        schemas = components.get("schemas") if isinstance(components, Mapping) else None
        return schemas if isinstance(schemas, Mapping) else {}
