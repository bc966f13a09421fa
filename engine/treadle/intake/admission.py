"""Admission: the checks that every job passes before it is accepted, over HTTP or from the drop folder.

`data` and `params` are validated against the schemas `inputData` and `inputParams` of the service's OpenAPI
document. The validators are made once, when the engine starts; a schema that is not valid is an error then,
and not at the first job.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft4Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from treadle.extend.loader import Plugins
from treadle.interface.errors import ServiceError, TreadleError
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.support.hints import nearest
from treadle_spool import EMPTY, Descriptor, InvalidDescriptor, Spool

_DOCUMENT = "urn:treadle:openapi-spec"
"""The URI of a service's OpenAPI document, for the references inside its schemas."""
_SCHEMAS = {"data": "inputData", "params": "inputParams"}


class QueueFull(TreadleError):
    """The queue is at its limit; try again later."""


class DiskFull(TreadleError):
    """The spool's disk is below its reserve; free some space."""


class ShuttingDown(TreadleError):
    """The engine is about to stop and takes no more jobs; try again when it is back."""


class Admission:
    """The checks of one engine or API process, for its whole lifetime; no state but `closed`.

    Called by the gateway and by the drop folder's intake, in the event loop and in threads. Its own I/O is
    one statvfs; the plugins' `validate_job` may block.
    """

    closed = False
    """Set when the process is about to stop: no more jobs are accepted."""

    def __init__(
        self,
        spool: Spool,
        services: Mapping[str, Service],
        plugins: Plugins,
        settings: Settings,
        queued: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._services = services
        self._plugins = plugins
        self._settings = settings
        self._count_owed = queued
        self._validators = {
            (name, payload): validator
            for name, service in services.items()
            for payload, validator in _validators(service)
        }
        self._plugins_validate = any(True for _ in plugins.implementations("validate_job"))

    def check_room(self) -> None:
        """Raise QueueFull, DiskFull or ShuttingDown if there is no room for one more job."""
        if self.closed:
            raise ShuttingDown
        if (owed := self._count_owed()) >= self._settings.queue_limit:
            raise QueueFull(
                f"{owed} jobs are waiting or running, and the limit is {self._settings.queue_limit}: "
                "try again later"
            )
        disk = os.statvfs(self._spool.root)
        reserve = self._settings.disk_reserve
        if (free := disk.f_bavail * disk.f_frsize) < reserve:
            raise DiskFull(
                f"the disk of {self._spool.root} has {free} free bytes, and {reserve} are kept back: "
                "free some space, or lower --disk-reserve"
            )

    def is_quick(self, job: Descriptor) -> bool:
        """Return whether `check` is fast enough for the event loop: no schema, and no plugin to call."""
        return not self._plugins_validate and all(
            (job.service, each) not in self._validators for each in _SCHEMAS
        )

    def check(self, job: Descriptor) -> None:
        """Raise InvalidDescriptor, with the JSON path of the fault, if the job can't be run."""
        service = self._services.get(job.service)
        if service is None:
            raise InvalidDescriptor(
                f"no service named {job.service!r}{nearest(job.service, self._services)}", "$.service"
            )
        for payload in _SCHEMAS:
            if validator := self._validators.get((service.name, payload)):
                _validate(validator, bytes(getattr(job, payload)) or EMPTY, f"$.{payload}")
        if problems := self._plugins.problems(job, service):
            raise InvalidDescriptor("; ".join(problems))


def _validators(service: Service) -> list[tuple[str, Validator]]:
    """Return a validator for each payload that has a schema; raise ServiceError for an invalid schema."""
    dialect = _dialect(service)
    document = DRAFT202012.create_resource(service.openapi)
    registry: Registry[Any] = Registry().with_resource(_DOCUMENT, document)
    validators: list[tuple[str, Validator]] = []
    for payload, name in _SCHEMAS.items():
        schema = service.schema(name)
        if not schema:
            continue
        try:
            dialect.check_schema(dict(schema))
        except SchemaError as error:
            raise ServiceError(
                f"{service.path}: components.schemas.{name} of its openapi-spec is not a valid schema: "
                f"{error.message} (at {error.json_path})"
            ) from None
        validators.append(
            (payload, dialect({"$ref": f"{_DOCUMENT}#/components/schemas/{name}"}, registry=registry))
        )
    return validators


def _dialect(service: Service) -> type[Validator]:
    """Return the JSON Schema dialect: 2020-12 for OpenAPI 3.1, draft 4 with `nullable` for OpenAPI 3.0."""
    if not str(service.openapi.get("openapi", "3.0")).startswith("3.0"):
        return Draft202012Validator
    keywords = {name: _or_null(Draft4Validator.VALIDATORS[name]) for name in ("type", "enum")}
    dialect: type[Validator] = extend(Draft4Validator, keywords)  # type: ignore[no-untyped-call]  # its stub has no types
    return dialect


def _or_null(keyword: Callable[..., Any]) -> Callable[..., Any]:
    """Return the check of a keyword that also accepts null where the schema is `nullable`."""

    def check(validator: Validator, value: object, instance: object, schema: Mapping[str, Any]) -> Any:
        if instance is None and schema.get("nullable") is True:
            return ()
        return keyword(validator, value, instance, schema) or ()

    return check


def _validate(validator: Validator, payload: bytes, path: str) -> None:
    try:
        error = best_match(validator.iter_errors(json.loads(payload, parse_int=_integer)))
    except RecursionError:
        raise InvalidDescriptor("the JSON is nested too deeply for its schema", path) from None
    except Unresolvable as unresolvable:
        raise InvalidDescriptor(
            f"the service's schema refers to a part that its openapi-spec doesn't have: {unresolvable}", path
        ) from None
    if error is not None:
        raise InvalidDescriptor(error.message[:500], path + error.json_path[1:])


def _integer(digits: str) -> int | float:
    """Return an integer of any size; one with more digits than Python converts becomes a float."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)
