"""The components of an OpenAPI document: schemas, parameters and responses, and references to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.api.waiting import LONGEST

Json = dict[str, Any]

_UNSPECIFIED: Mapping[str, Json] = {
    "inputData": {"type": "object"},
    "inputParams": {"type": "object"},
    "resultResponse": {},
    "errorResponse": {},
    "interimResultResponse": {},
}
"""The schemas that a service may specify, for one that does not."""

_ERRORS = {
    "400": "The request is not valid; `path` says where",
    "404": "There is no such execution, or it does not have what was asked for yet",
    "413": "The body is too large",
    "415": "The encoding of the body is not supported; send it plain or as gzip",
    "429": "The queue is at its limit",
    "500": "An internal error",
    "503": "The spool can't be used at the moment",
    "507": "The disk is full, or below its reserve",
}


def components(own: Mapping[str, Any]) -> Json:
    """Return the components; own are the service's schemas, which may not replace those of the API."""
    return {
        "schemas": {**_UNSPECIFIED, **own, **_schemas()},
        "parameters": _parameters(),
        "responses": {
            f"Error{status}": json_content(text, schema_ref("Error")) for status, text in _ERRORS.items()
        },
    }


def json_content(description: str, schema: Json) -> Json:
    """Return a response whose body is JSON of a schema."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def schema_ref(name: str) -> Json:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def parameter_ref(name: str) -> Json:
    """Return a reference to a parameter."""
    return {"$ref": f"#/components/parameters/{name}"}


def error_refs(*statuses: str) -> Json:
    """Return references to error responses, by their HTTP statuses."""
    return {status: {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _schemas() -> Json:
    moment = {"type": "string", "description": "YYYY-MM-DD HH:MM:SS, UTC; null until then"}
    return {
        "Health": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string", "example": "Service is up and running"}},
        },
        "Execution": _execution(),
        "DataRef": {
            "type": "object",
            "description": "A file of a data pool, in place of data",
            "additionalProperties": False,
            "required": ["dataPoolId", "fileId"],
            "properties": {
                name: {"type": "string"} for name in ("dataPoolId", "dataSourceDescriptorId", "fileId")
            },
        },
        "Job": {
            "type": "object",
            "required": ["id", "status", "createdAt"],
            "properties": {
                "id": {"type": "string"},
                "status": {
                    "type": "string",
                    "enum": ["UNKNOWN", "PENDING", "RUNNING", "SUCCEEDED", "CANCELLED", "FAILED"],
                },
                "createdAt": {**moment},
                "startedAt": {**moment, "nullable": True},
                "endedAt": {**moment, "nullable": True},
            },
        },
        "Error": {
            "type": "object",
            "required": ["code", "detail"],
            "properties": {
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "path": {"type": "string", "description": "The JSON path of the fault"},
            },
        },
    }


def _execution() -> Json:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "data": schema_ref("inputData"),
            "dataRef": schema_ref("DataRef"),
            "params": schema_ref("inputParams"),
            "priority": {
                "type": "integer",
                "minimum": -1000,
                "maximum": 1000,
                "default": 0,
                "description": "Executions of higher priority start first",
            },
            "timeout": {
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
                "description": "Seconds it may take; the service's own timeout holds as well",
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }


def _parameters() -> Json:
    return {
        "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        "wait": {
            "name": "wait",
            "in": "query",
            "description": f"Seconds to wait for the execution's end, {LONGEST:g} at most",
            "schema": {"type": "number", "minimum": 0},
        },
        "prefer": {
            "name": "Prefer",
            "in": "header",
            "description": "`wait=<seconds>` does the same (RFC 7240)",
            "schema": {"type": "string"},
        },
        "lastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that was received; the events after it are sent",
            "schema": {"type": "string"},
        },
        "last": {
            "name": "last",
            "in": "query",
            "description": "Whether to return only the newest one",
            "schema": {"type": "boolean", "default": False},
        },
    }
