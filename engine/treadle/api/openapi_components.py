"""The components of an OpenAPI document: schemas, parameters and responses, and references to them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from treadle.api.answers import ErrorBody, HealthBody, JobBody
from treadle.api.waiting import LONGEST
from treadle.intake.posted import Body, DataRef

Json = dict[str, Any]

_UNSPECIFIED: Mapping[str, Json] = {
    "inputData": {"type": "object"},
    "inputParams": {"type": "object"},
    "resultResponse": {},
    "errorResponse": {},
    "interimResultResponse": {},
}
"""The schemas that a service may specify, for one that does not."""

_BODIES: Mapping[str, type[msgspec.Struct]] = {
    "Health": HealthBody,
    "Execution": Body,
    "DataRef": DataRef,
    "Job": JobBody,
    "Error": ErrorBody,
}
"""The schemas of the API itself. A struct that another one refers to has the name of its schema."""

_ERRORS = {
    "400": "The request is not valid; `path` says where",
    "403": "A web page of another site made the request, or it came to a name that this host does not have",
    "404": "There is no such execution, or it does not have what was asked for yet",
    "408": "The body comes too slowly, or not at all",
    "413": "The body is too large",
    "415": "The encoding of the body is not supported, or its type, where a web page sends it",
    "429": "The queue is at its limit",
    "500": "An internal error",
    "503": "The service is broken, the spool can't be used now, or other requests fill the room for bodies",
    "507": "The disk is full, or below its reserve",
}


def add_components(document: Json, own: Json) -> Json:
    """Return a document of the API with its components, and with a service's own schemas, by their names.

    A schema of the API whose name the service uses, too, gets another name in the whole document.
    """
    names = {name: _free_name(name, own) for name in _BODIES}
    responses = {
        f"Error{status}": json_content(text, schema_ref("Error")) for status, text in _ERRORS.items()
    }
    described: Json = _renamed(
        {**document, "components": {"parameters": _parameters(), "responses": responses}}, names
    )
    described["components"]["schemas"] = {**_UNSPECIFIED, **own, **_schemas(names)}
    return described


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


def _schemas(names: Mapping[str, str]) -> Json:
    """Return the schemas of the API's own bodies, from their structs, under the new names."""
    _, parts = msgspec.json.schema_components(_BODIES.values(), ref_template="#/components/schemas/{name}")
    return {
        names[name]: _renamed(_schema(names[name], parts[body.__name__]), names)
        for name, body in _BODIES.items()
    }


def _free_name(name: str, taken: Container[str]) -> str:
    while name in taken:
        name = f"Treadle{name}"
    return name


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a part of the document whose references use the new names of schemas."""
    refs = {schema_ref(old)["$ref"]: schema_ref(new)["$ref"] for old, new in names.items()}

    def follow(value: Any) -> Any:
        if isinstance(value, list):
            return [follow(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: refs[each] if key == "$ref" and each in refs else follow(each) for key, each in value.items()
        }

    return follow(value)


def _schema(name: str, part: Json) -> Json:
    return {**part, "title": name, "description": part["description"].partition("\n")[0]}


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
