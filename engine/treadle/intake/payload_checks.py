"""The checks of payloads against their services' schemas: simple ones here, the others by a process."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from treadle.intake.service_schemas import schemas_of
from treadle.intake.subschemas import Json
from treadle.intake.validating import PAYLOADS, Fault, find_fault, is_linear, make_validator, reachable
from treadle.intake.validation_pool import HOW_TO_MEND, Check, Process, TooSlow, ValidationPool
from treadle.interface.errors import ServiceError
from treadle.interface.service import Service
from treadle_spool import InvalidDescriptor

_SMALL = 4 * 1024
"""Bytes of a payload that the engine itself validates, if its schema is simple: 20 ms at most."""


def payload_checks(service: Service, pool: ValidationPool) -> dict[str, PayloadCheck]:
    """Return the checks of a service's payloads that have a schema, by the payload; raise ServiceError."""
    schemas = _schemas(service)
    return {
        payload: PayloadCheck(service, payload, schemas, pool)
        for payload, schema in PAYLOADS.items()
        if schemas.get(schema, True) not in ({}, True)
    }


def _schemas(service: Service) -> Json:
    """Return the schemas of a service; raise ServiceError if they can't be had."""
    try:
        return schemas_of(service)
    except RecursionError:
        raise ServiceError(
            f"{service.path}: a schema of its openapi-spec contains itself, or is nested too deeply"
        ) from None


def _check_schema(service: Service, name: str, schema: Any) -> None:
    """Raise ServiceError if a schema that payloads are validated against is none."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ServiceError(
            f"{service.path}: components.schemas.{name} of its openapi-spec is not a valid schema: "
            f"{error.message} (at {error.json_path})"
        ) from None


class PayloadCheck:
    """The check of one payload of a service against its schema."""

    def __init__(self, service: Service, payload: str, schemas: Json, pool: ValidationPool) -> None:
        """Raise ServiceError if the schema, or one that it refers to, is not valid."""
        name = PAYLOADS[payload]
        self._path = f"$.{payload}"
        self._pool = pool
        needed = reachable(schemas, name)
        for each, schema in needed.items():
            _check_schema(service, each, schema)
        self._is_linear = all(map(is_linear, needed.values()))
        self._validator = make_validator(needed, name)
        self._check = Check.of(f"{service.name}/{payload}", name, needed)

    def check(self, payload: bytes) -> None:
        """Raise InvalidDescriptor if a payload does not fit."""
        if self._is_linear and len(payload) <= _SMALL:
            self._raise(find_fault(self._validator, payload))
            return
        with self._pool.process(len(payload)) as process:
            self.check_composed(process, payload)

    def check_composed(self, process: Process, payload: bytes | str) -> None:
        """Have a process validate a payload, or the one of that name of the job that it has composed."""
        try:
            reply = process.validate(self._check, payload)
        except TooSlow:
            detail = "checking it against the service's schema takes too long"
            self._raise(Fault(f"{detail}: {HOW_TO_MEND}", "$"))
        else:
            self._raise(None if reply.detail is None else Fault(reply.detail, reply.path or "$"))

    def _raise(self, fault: Fault | None) -> None:
        if fault is not None:
            raise InvalidDescriptor(fault.detail, self._path + fault.path[1:])
