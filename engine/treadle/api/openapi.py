"""The OpenAPI document of one service: the routes of v1.py, and the service's own schemas.

The parts that operations refer to are in openapi_components.py. A test checks real responses against the
document.
"""

from __future__ import annotations

from importlib.metadata import version

from treadle.api.openapi_components import (
    Json,
    add_components,
    error_refs,
    json_content,
    parameter_ref,
    schema_ref,
)
from treadle.intake.service_schemas import schemas_of
from treadle.interface.service import Service

_VERSION = "3.1.0"
"""The version of each document. service_schemas.py converts the schemas of a service of version 3.0."""


def describe(service: Service, base: str) -> Json:
    """Return the OpenAPI document of a service that is served at base."""
    document = {
        "openapi": _VERSION,
        "info": {
            "title": service.name,
            "version": version("treadle"),
            "description": service.description or f"The service {service.name}, run by Treadle.",
        },
        "servers": [{"url": base or "/"}],
        "paths": {
            "/": _service(),
            "/openapi.json": {
                "get": _operation(
                    "Return this document",
                    {"200": json_content("This document", {"type": "object"}), **error_refs("503")},
                )
            },
            "/{id}": _status(),
            "/{id}/result": _result(),
            "/{id}/interim-results": _interim_results(),
            "/{id}/events": _events(),
            "/{id}/cancel": _cancel(),
        },
    }
    return add_components(document, schemas_of(service))


def _service() -> Json:
    location = {"description": "The URL of the execution", "schema": {"type": "string"}}
    return {
        "get": _operation(
            "Check that the service is up",
            {"200": json_content("The service is up", schema_ref("Health")), **error_refs("503")},
        ),
        "post": {
            **_operation(
                "Start an execution",
                {
                    "201": {
                        **json_content("The execution is accepted, and durable", schema_ref("Job")),
                        "headers": {"Location": location},
                    },
                    **error_refs("400", "408", "413", "415", "429", "503", "507"),
                },
            ),
            "requestBody": {"content": {"application/json": {"schema": schema_ref("Execution")}}},
        },
    }


def _status() -> Json:
    return _of_execution(
        "get",
        _operation(
            "Return the status of an execution",
            {"200": json_content("Its status", schema_ref("Job")), **error_refs("400", "404")},
            _wait(),
        ),
    )


def _result() -> Json:
    schema = {"anyOf": [schema_ref("resultResponse"), schema_ref("errorResponse")]}
    return _of_execution(
        "get",
        _operation(
            "Return exactly what the program returned, or its failure",
            {"200": json_content("The result", schema), **error_refs("400", "404")},
            _wait(),
        ),
    )


def _interim_results() -> Json:
    one = schema_ref("interimResultResponse")
    schema = {"anyOf": [{"type": "array", "items": one}, one]}
    return _of_execution(
        "get",
        _operation(
            "Return all interim results, or the newest one",
            {
                "200": json_content("All of them, or only the newest one with last=true", schema),
                **error_refs("400", "404"),
            },
            [parameter_ref("last")],
        ),
    )


def _events() -> Json:
    return _of_execution(
        "get",
        _operation(
            "Listen to an execution: its status, interim results and log lines, until it has ended",
            {
                "200": {
                    "description": "Server-sent events: `status`, `interim` and `log`, each with an id",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                "204": {"description": "There are no more events: the id is that of the last one"},
                **error_refs("400", "404"),
            },
            [parameter_ref("lastEventId")],
        ),
    )


def _cancel() -> Json:
    return _of_execution(
        "put",
        _operation(
            "Cancel an execution",
            {"200": json_content("Its status", schema_ref("Job")), **error_refs("404", "503", "507")},
        ),
    )


def _of_execution(method: str, operation: Json) -> Json:
    return {"parameters": [parameter_ref("id")], method: operation}


def _operation(summary: str, responses: Json, parameters: list[Json] | None = None) -> Json:
    operation: Json = {"summary": summary, "responses": {**responses, **error_refs("403", "500")}}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _wait() -> list[Json]:
    return [parameter_ref("wait"), parameter_ref("prefer")]
