"""Service projects on the disk, as the public templates and CLI make them, read into services.

The files planqk.json, treadle.toml and openapi-spec.yml are read; all are optional, and treadle.toml wins
over planqk.json. A fault is a ServiceError with the file, and with the key and the value where it has them.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from treadle.intake.project_folders import DOCKERFILES, PLANQK, SPECS, TOML, is_project
from treadle.interface.errors import ServiceError
from treadle.interface.options import KnownOptions
from treadle.interface.service import CONTAINER, HOST, PYTHON_TEMPLATE, Resources, Service, ServiceFile
from treadle.support.expected import keys_of
from treadle.support.toml import TomlFile
from treadle.support.typed import Place, to_struct

_PROGRAMS = {"PYTHON_TEMPLATE": PYTHON_TEMPLATE, "DOCKER": CONTAINER}
"""The names of runtimes in planqk.json, and the programs that they are here."""

_MODULES = ("src/program.py", "src/program/__init__.py")
"""Where the module `src.program` is, which the public Python template has."""
_VERSION = re.compile(r"[\s<>=!]*3(\.\d+)*(\.\*)?(\s*,[\s<>=!]*\d+(\.\d+)*(\.\*)?)*\s*", re.ASCII)
"""A version of Python, or bounds of it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)

_Amount = Annotated[float, Meta(gt=0, title="a number greater than 0")]


class NotAProject(ServiceError):
    """The folder is not a service project."""


class _PlanqkResources(msgspec.Struct, frozen=True):
    cpu: _Amount | None = None
    memory: _Amount | None = None
    gpu: Annotated[dict[str, Any], Meta(title="an object with `type` and `count`")] | None = None


class _Planqk(msgspec.Struct, frozen=True, rename="camel"):
    """The keys of planqk.json that count here; it has others, which are those of the hosted platform."""

    name: str | None = None
    description: str | None = None
    service_id: str | None = None
    runtime: str | None = None
    resources: Annotated[_PlanqkResources, Meta(title="an object")] | None = None


def read_service(
    path: Path, options: KnownOptions, image_runtimes: Collection[str] = (CONTAINER,)
) -> Service:
    """Return the service of the project folder; raise ServiceError with the file and the fault.

    options are the keys of treadle.toml that the installed programs and runtimes add; image_runtimes are the
    names and kinds of the runtimes that execute images.
    """
    path = path.absolute()
    planqk, file = _read_files(path)
    values = file.values if file else {}
    place, own = Place(ServiceError, file=file), keys_of(ServiceFile)
    treadle = to_struct({key: value for key, value in values.items() if key in own}, ServiceFile, place)
    program, runtime = _program_and_runtime(treadle, planqk.runtime, path, image_runtimes)
    given = options.read(values, place, (program, runtime), beside=own)
    return Service(
        name=project_name(treadle.name or planqk.name or path.name, path),
        path=path,
        description=planqk.description or "",
        service_id=planqk.service_id,
        program=program,
        runtime=runtime,
        parser=treadle.parser,
        entrypoint=treadle.entrypoint,
        python=_python(treadle.python, path),
        python_version=str(treadle.python) if _is_version(treadle.python, path) else None,
        timeout=treadle.timeout,
        concurrency=treadle.concurrency,
        environment=treadle.environment,
        retry=treadle.retry,
        resources=Resources(**msgspec.structs.asdict(planqk.resources or _PlanqkResources())),
        openapi=_read_openapi(path),
        options=given.flat,
        options_by_owner=given.by_owner,
        file=file,
    )


def _read_files(path: Path) -> tuple[_Planqk, TomlFile | None]:
    """Return planqk.json and treadle.toml of a project; raise ServiceError where the folder is none."""
    if not path.is_dir():
        raise NotAProject(f"{path} is not a service project: there is no such folder")
    planqk = _read_planqk(path / PLANQK)
    file = TomlFile.read(toml, ServiceError) if _is_there(toml := path / TOML) else None
    if planqk == _Planqk() and not (file and file.values) and not is_project(path):
        raise NotAProject(
            f"{path} is not a service project: it has no planqk.json, treadle.toml, src/ or Dockerfile"
        )
    return planqk, file


def _is_there(path: Path) -> bool:
    """Return whether a project has a file; raise ServiceError for what is none: a pipe may block."""
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ServiceError(f"{path} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(kind):
        raise ServiceError(f"{path} can't be read: it is not a regular file")
    return True


def _read_planqk(path: Path) -> _Planqk:
    if not _is_there(path):
        return _Planqk()
    try:
        fields = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path} can't be read: {error}") from error
    except RecursionError:
        raise ServiceError(f"{path} can't be read: it is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ServiceError(f"{path}: expected an object")
    return to_struct(fields, _Planqk, Place(ServiceError, str(path)), closed=False)


def project_name(name: object, path: Path) -> str:
    """Return a name for URLs, made of letters, digits, `-` and `_`; raise ServiceError if nothing is left."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", str(name)).strip("-_")[:63]
    if not _NAME.fullmatch(cleaned):
        raise ServiceError(
            f"{path}: {name!r} gives no usable name: set `name` in treadle.toml, with letters and digits"
        )
    return cleaned


def _program_and_runtime(
    treadle: ServiceFile, planqk: str | None, path: Path, image_runtimes: Collection[str]
) -> tuple[str, str]:
    """Return how a service is executed and where, from `program` and `runtime` in treadle.toml.

    Where one of them is missing it follows from the other, else from the runtime in planqk.json, else from
    the project's files. `runtime = "python-template"` means that program, on the host.
    """
    program, runtime = treadle.program, treadle.runtime
    default = _default_program(planqk, path, treadle.entrypoint)
    if runtime == PYTHON_TEMPLATE:
        return program or PYTHON_TEMPLATE, HOST
    if program is None:
        program = CONTAINER if runtime in image_runtimes else default
    if runtime is None:
        runtime = CONTAINER if program == CONTAINER else HOST
    return program, runtime


def _default_program(planqk: str | None, path: Path, entrypoint: str) -> str:
    """Return the program that planqk.json names, or that a project without one looks like.

    One with a Dockerfile is a container, unless it has the module `src.program` or names another one.
    """
    if planqk is None:
        names_another = entrypoint.partition(":")[0] != "src.program"
        is_python = names_another or any((path / each).exists() for each in _MODULES)
        is_image = any((path / each).exists() for each in DOCKERFILES)
        return CONTAINER if is_image and not is_python else PYTHON_TEMPLATE
    if planqk not in _PROGRAMS:
        raise ServiceError(
            f"{path / PLANQK}: runtime {planqk!r} is unknown; known are {', '.join(_PROGRAMS)}. "
            "To use another runtime, set `runtime` in treadle.toml"
        )
    return _PROGRAMS[planqk]


def _python(value: Path | None, path: Path) -> Path | None:
    if value is None or _is_version(value, path):
        return path / ".venv" if (path / ".venv").is_dir() else None
    return path / value


def _is_version(value: Path | None, path: Path) -> bool:
    """Return whether `python` asks for a version, as `3.12` or `>=3.10,<3.13` do, and names no file."""
    return value is not None and _VERSION.fullmatch(str(value)) is not None and not (path / value).exists()


def _read_openapi(path: Path) -> Mapping[str, Any]:
    for name in SPECS:
        if _is_there(spec := path / name):
            try:
                document = yaml.safe_load(spec.read_text("utf-8"))
            except (OSError, ValueError, yaml.YAMLError) as error:
                raise ServiceError(f"{spec} can't be read: {error}") from error
            except RecursionError:
                raise ServiceError(f"{spec} can't be read: it is nested too deeply") from None
            if not isinstance(document, dict):
                raise ServiceError(f"{spec}: expected an OpenAPI document")
            return document
    return {}
