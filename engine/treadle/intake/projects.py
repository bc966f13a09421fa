"""Service projects on the disk, as the public templates and CLI make them, read into services.

The files planqk.json, treadle.toml and openapi-spec.yml are read; all are optional, and treadle.toml wins
over planqk.json. A fault is a ServiceError with the file, and with the key and the value where it has them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from treadle.interface.errors import ServiceError
from treadle.interface.service import CONTAINER, KEYS, PYTHON_TEMPLATE, Resources, Service, Types
from treadle.support.hints import nearest

_RUNTIMES = {"PYTHON_TEMPLATE": PYTHON_TEMPLATE, "DOCKER": CONTAINER}
"""The names of runtimes in planqk.json, and what they are here."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)

_CARRIED = ("parser", "entrypoint", "timeout", "concurrency", "environment", "retry")
"""The keys of treadle.toml that become fields of Service as they are."""


def read_service(path: Path, options: Mapping[str, Types]) -> Service:
    """Return the service of the project folder; raise ServiceError with the file and the fault.

    options are the keys of treadle.toml that the installed runtimes add, with their types.
    """
    path = path.absolute()
    if not path.is_dir():
        raise ServiceError(f"{path} is not a service project: there is no such folder")
    planqk = _read_planqk(path / "planqk.json")
    treadle = _read_toml(path / "treadle.toml", {**KEYS, **options})
    if not planqk and not treadle and not is_project(path):
        raise ServiceError(
            f"{path} is not a service project: it has no planqk.json, treadle.toml, src/ or Dockerfile"
        )
    return Service(
        name=project_name(treadle.get("name") or planqk.get("name") or path.name, path),
        path=path,
        description=planqk.get("description") or "",
        service_id=planqk.get("serviceId"),
        runtime=treadle.get("runtime") or _runtime(planqk.get("runtime"), path),
        python=_python(treadle.get("python"), path),
        resources=_resources(planqk.get("resources") or {}, path),
        openapi=_read_openapi(path),
        options={key: value for key, value in treadle.items() if key in options},
        **{key: treadle[key] for key in _CARRIED if key in treadle},
    )


def read_services(
    projects: Iterable[Path], folder: Path | None, options: Mapping[str, Types]
) -> dict[str, Service]:
    """Return the services of the projects and of each project in folder, by name.

    Raises ServiceError if one is not valid, or two have the same name.
    """
    paths = [*projects, *(sorted(filter(is_project, folder.iterdir())) if folder else ())]
    services: dict[str, Service] = {}
    for path in paths:
        service = read_service(path, options)
        if other := services.get(service.name):
            raise ServiceError(
                f"{other.path} and {service.path} are both named {service.name!r}: "
                "set `name` in the treadle.toml of one of them"
            )
        services[service.name] = service
    return services


def is_project(path: Path) -> bool:
    """Return whether the path is a folder with at least one typical file of a service project."""
    marks = ("planqk.json", "treadle.toml", "src/program.py", "src/__init__.py", "Dockerfile")
    return path.is_dir() and any((path / mark).exists() for mark in marks)


def _read_planqk(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path} can't be read: {error}") from error
    if not isinstance(fields, dict):
        raise ServiceError(f"{path}: expected an object")
    return fields


def _read_toml(path: Path, known: Mapping[str, Types]) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path} can't be read: {error}") from error
    for key, value in fields.items():
        if key not in known:
            raise ServiceError(f"{path}: unknown key {key!r}{nearest(key, known)}")
        if not isinstance(value, known[key]) or (isinstance(value, bool) and not _accepts(known[key], bool)):
            raise ServiceError(f"{path}: {key} must be {_describe(known[key])}, not {value!r}")
    _check_values(path, fields)
    return fields


def _check_values(path: Path, fields: Mapping[str, Any]) -> None:
    for key in ("timeout", "concurrency"):
        if key in fields and not fields[key] > 0:
            raise ServiceError(f"{path}: {key} must be greater than 0, not {fields[key]!r}")
    if fields.get("retry", "lost") not in {"lost", "never"}:
        raise ServiceError(f"{path}: retry must be 'lost' or 'never', not {fields['retry']!r}")
    if ":" not in fields.get("entrypoint", ":"):
        raise ServiceError(f"{path}: entrypoint must be 'module:function', not {fields['entrypoint']!r}")
    for key, value in fields.get("environment", {}).items():
        if not isinstance(value, str):
            raise ServiceError(f"{path}: environment.{key} must be a string, not {value!r}")


def _accepts(types: Types, wanted: type) -> bool:
    return wanted in (types if isinstance(types, tuple) else (types,))


def _describe(types: Types) -> str:
    names = {
        str: "a string",
        int: "an integer",
        float: "a number",
        bool: "true or false",
        dict: "a table",
        list: "a list",
    }
    return " or ".join(
        names.get(kind, kind.__name__) for kind in (types if isinstance(types, tuple) else (types,))
    )


def project_name(name: object, path: Path) -> str:
    """Return a name for URLs, made of letters, digits, `-` and `_`; raise ServiceError if nothing is left."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", str(name)).strip("-_")[:63]
    if not _NAME.fullmatch(cleaned):
        raise ServiceError(
            f"{path}: {name!r} gives no usable name: set `name` in treadle.toml, with letters and digits"
        )
    return cleaned


def _runtime(name: object, path: Path) -> str:
    if name is None:
        return (
            CONTAINER if (path / "Dockerfile").exists() and not (path / "src").is_dir() else PYTHON_TEMPLATE
        )
    if name not in _RUNTIMES:
        raise ServiceError(
            f"{path / 'planqk.json'}: runtime {name!r} is unknown; known are {', '.join(_RUNTIMES)}. "
            "To use another runtime, set `runtime` in treadle.toml"
        )
    return _RUNTIMES[str(name)]


def _python(value: str | None, path: Path) -> Path | None:
    if value is None:
        return path / ".venv" if (path / ".venv").is_dir() else None
    return path / Path(value).expanduser()


def _resources(fields: object, path: Path) -> Resources:
    where = path / "planqk.json"
    if not isinstance(fields, dict):
        raise ServiceError(f"{where}: resources must be an object")
    for key in ("cpu", "memory"):
        value = fields.get(key)
        if value is not None and (
            not isinstance(value, int | float) or isinstance(value, bool) or not value > 0
        ):
            raise ServiceError(f"{where}: resources.{key} must be a number greater than 0, not {value!r}")
    gpu = fields.get("gpu")
    if gpu is not None and not isinstance(gpu, dict):
        raise ServiceError(f"{where}: resources.gpu must be an object with `type` and `count`, not {gpu!r}")
    return Resources(cpu=fields.get("cpu"), memory=fields.get("memory"), gpu=gpu)


def _read_openapi(path: Path) -> Mapping[str, Any]:
    for name in ("openapi-spec.yml", "openapi-spec.yaml", "openapi-spec.json"):
        if (spec := path / name).exists():
            try:
                document = yaml.safe_load(spec.read_text("utf-8"))
            except (OSError, ValueError, yaml.YAMLError) as error:
                raise ServiceError(f"{spec} can't be read: {error}") from error
            if not isinstance(document, dict):
                raise ServiceError(f"{spec}: expected an OpenAPI document")
            return document
    return {}
