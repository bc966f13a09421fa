"""Admission: the checks that every job passes before it is accepted, over HTTP or from the drop folder.

`data` and `params` are validated against the schemas `inputData` and `inputParams` of the service's OpenAPI
document: JSON Schema 2020-12, as openapi.json shows them. The validators are made once, when the engine
starts; a schema that is not valid is an error then, and not at the first job.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from treadle.extend.loader import Plugins
from treadle.intake.service_schemas import schemas_of
from treadle.interface.errors import ServiceError, TreadleError
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.support.hints import nearest
from treadle_spool import EMPTY, Descriptor, InvalidDescriptor, Spool

_DOCUMENT = "urn:treadle:openapi-spec"
"""The URI of the document with a service's schemas, for the references inside them."""
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
        count_owed: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._services = services
        self._plugins = plugins
        self._settings = settings
        self._count_owed = count_owed
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
    validators: list[tuple[str, Validator]] = []
    try:
        schemas = schemas_of(service)
        document = DRAFT202012.create_resource({"components": {"schemas": schemas}})
        registry: Registry[Any] = Registry().with_resource(_DOCUMENT, document)
        for payload, name in _SCHEMAS.items():
            if (schema := schemas.get(name, True)) in ({}, True):
                continue
            _check_schema(service, name, schema)
            reference = {"$ref": f"{_DOCUMENT}#/components/schemas/{name}"}
            validators.append((payload, Draft202012Validator(reference, registry=registry)))
    except RecursionError:
        raise ServiceError(
            f"{service.path}: a schema of its openapi-spec contains itself, or is nested too deeply"
        ) from None
    return validators


def _check_schema(service: Service, name: str, schema: Any) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ServiceError(
            f"{service.path}: components.schemas.{name} of its openapi-spec is not a valid schema: "
            f"{error.message} (at {error.json_path})"
        ) from None


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
