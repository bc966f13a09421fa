"""The OpenAPI document of one service: the routes as they are, and the service's own schemas."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from treadle.api.waiting import LONGEST
from treadle.interface.service import Service

Json = dict[str, Any]

_ANYTHING: Mapping[str, Json] = {
    "inputData": {"type": "object"},
    "inputParams": {"type": "object"},
    "resultResponse": {},
    "errorResponse": {},
    "interimResultResponse": {},
}


def describe(service: Service, base: str) -> Json:
    """Return the OpenAPI document of a service that is served at base."""
    openapi = str(service.openapi.get("openapi", "3.0.3"))
    own = service.openapi.get("components", {}).get("schemas", {})
    return {
        "openapi": openapi,
        "info": {
            "title": service.name,
            "version": version("treadle"),
            "description": service.description or f"The service {service.name}, run by Treadle.",
        },
        "servers": [{"url": base or "/"}],
        "paths": _paths(),
        "components": {
            "schemas": {**_ANYTHING, **own, **_schemas()},
            "parameters": _parameters(),
            "responses": _responses(),
        },
    }


def _paths() -> Json:
    job = {"$ref": "#/components/parameters/id"}
    wait = [{"$ref": "#/components/parameters/wait"}, {"$ref": "#/components/parameters/prefer"}]
    return {
        "/": {
            "get": _operation("Say that the service is up", {"200": _json("It is", _ref("Health"))}),
            "post": {
                **_operation(
                    "Start an execution",
                    {
                        "201": {
                            **_json("Accepted, and durably so", _ref("Job")),
                            "headers": {"Location": {"description": "Its URL", "schema": {"type": "string"}}},
                        },
                        **_errors("400", "413", "415", "429", "503", "507"),
                    },
                ),
                "requestBody": {"content": {"application/json": {"schema": _ref("Execution")}}},
            },
        },
        "/openapi.json": {"get": _operation("This document", {"200": _json("It", {"type": "object"})})},
        "/{id}": {
            "parameters": [job],
            "get": _operation(
                "Return the status of an execution",
                {"200": _json("Its status", _ref("Job")), **_errors("400", "404")},
                wait,
            ),
        },
        "/{id}/result": {
            "parameters": [job],
            "get": _operation(
                "Return exactly what the program returned, or its failure",
                {
                    "200": _json("The result", {"anyOf": [_ref("resultResponse"), _ref("errorResponse")]}),
                    **_errors("400", "404"),
                },
                wait,
            ),
        },
        "/{id}/interim-results": {
            "parameters": [job],
            "get": _operation(
                "Return all interim results, or the newest one",
                {
                    "200": _json("All of them, or with last=true the newest one alone", _interim()),
                    **_errors("400", "404"),
                },
                [{"$ref": "#/components/parameters/last"}],
            ),
        },
        "/{id}/events": {
            "parameters": [job],
            "get": _operation(
                "Listen to an execution: its status, interim results and log lines, until it has ended",
                {
                    "200": {
                        "description": "Server-sent events: `status`, `interim` and `log`, each with an id",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    },
                    "204": {"description": "Everything has been heard: the id is that of the last event"},
                    **_errors("400", "404"),
                },
                [{"$ref": "#/components/parameters/lastEventId"}],
            ),
        },
        "/{id}/cancel": {
            "parameters": [job],
            "put": _operation(
                "Cancel an execution",
                {"200": _json("Its status", _ref("Job")), **_errors("404", "503", "507")},
            ),
        },
    }


def _operation(summary: str, responses: Json, parameters: list[Json] | None = None) -> Json:
    operation: Json = {"summary": summary, "responses": {**responses, **_errors("500")}}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _interim() -> Json:
    one = _ref("interimResultResponse")
    return {"anyOf": [{"type": "array", "items": one}, one]}


def _schemas() -> Json:
    moment = {"type": "string", "description": "YYYY-MM-DD HH:MM:SS, UTC; null until then"}
    return {
        "Health": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string", "example": "Service is up and running"}},
        },
        "Execution": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "data": _ref("inputData"),
                "dataRef": _ref("DataRef"),
                "params": _ref("inputParams"),
                "priority": {
                    "type": "integer",
                    "minimum": -1000,
                    "maximum": 1000,
                    "default": 0,
                    "description": "Higher ones start first",
                },
                "timeout": {
                    "type": "number",
                    "minimum": 0,
                    "exclusiveMinimum": True,
                    "description": "Seconds it may take; the service's own timeout holds as well",
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
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


def _parameters() -> Json:
    seconds = {"type": "number", "minimum": 0}
    return {
        "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        "wait": {
            "name": "wait",
            "in": "query",
            "description": f"Seconds to wait for the execution's end, {LONGEST:g} at most",
            "schema": seconds,
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
            "description": "The id of the last event that was heard; what came after it is sent",
            "schema": {"type": "string"},
        },
        "last": {
            "name": "last",
            "in": "query",
            "description": "Whether only the newest one is wanted",
            "schema": {"type": "boolean", "default": False},
        },
    }


_ERRORS = {
    "400": "The request is not valid; `path` says where",
    "404": "There is no such execution, or not yet what was asked for",
    "413": "The body is too large",
    "415": "The body is packed in a way that is not known here; plain and gzip are",
    "429": "The queue is at its limit",
    "500": "Something that should not have happened",
    "503": "The spool can't be used at the moment",
    "507": "The disk is full, or below its reserve",
}


def _responses() -> Json:
    return {f"Error{status}": _json(text, _ref("Error")) for status, text in _ERRORS.items()}


def _errors(*statuses: str) -> Json:
    return {status: {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
