"""openapi.json is correct: the responses of a server are validated against its schemas."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.acceptance.server import EXAMPLES

URN = "urn:openapi"


@pytest.fixture(scope="module")
def server(module_server):
    return module_server(EXAMPLES / "sum")


@pytest.fixture(scope="module")
def document(server):
    return server.ask("GET", "/openapi.json").json


def conforms(document: dict[str, Any], path: str, method: str, answer: Any) -> bool:
    """Validate a response against the document; raise KeyError or ValidationError if it does not conform."""
    responses = document["paths"][path][method]["responses"]
    response = responses[str(answer.status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    resource = DRAFT202012.create_resource(_as_2020_12(document))
    registry: Registry[Any] = Registry().with_resource(URN, resource)
    wanted = _as_2020_12(schema, URN)
    Draft202012Validator(wanted, registry=registry).validate(answer.json)
    return True


def _as_2020_12(schema: Any, document: str = "") -> Any:
    """Return a schema of OpenAPI 3.0 as one of JSON Schema 2020-12, with references into document."""
    if isinstance(schema, list):
        return [_as_2020_12(each, document) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _as_2020_12(value, document) for key, value in schema.items() if key != "nullable"}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = document + found["$ref"]
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found


def test_every_answer_is_one_that_is_described(server, document):
    job = server.submit({"values": [1]})
    server.ended(job)
    asked = [
        ("/", "get", "/", None),
        ("/", "post", "/", b"{}"),
        ("/", "post", "/", b'{"data": {"values": [1]}}'),
        ("/{id}", "get", f"/{job}", None),
        ("/{id}", "get", "/nothing", None),
        ("/{id}", "get", "/x?wait=soon", None),
        ("/{id}/result", "get", f"/{job}/result", None),
        ("/{id}/result", "get", "/nothing/result", None),
        ("/{id}/interim-results", "get", f"/{job}/interim-results", None),
        ("/{id}/interim-results", "get", f"/{job}/interim-results?last=true", None),
        ("/{id}/interim-results", "get", f"/{job}/interim-results?last=maybe", None),
        ("/{id}/cancel", "put", f"/{job}/cancel", b""),
        ("/{id}/cancel", "put", "/nothing/cancel", b""),
        ("/openapi.json", "get", "/openapi.json", None),
    ]
    for path, method, url, body in asked:
        assert conforms(document, path, method, server.ask(method.upper(), url, body)), url


def test_the_service_s_own_schemas_are_in_it(document):
    schemas = document["components"]["schemas"]
    assert "values" in schemas["inputData"]["properties"]
    assert document["paths"]["/"]["post"]["requestBody"]
    assert {"inputData", "inputParams", "resultResponse", "errorResponse", "interimResultResponse"} <= set(
        schemas
    )


def test_every_reference_leads_somewhere(document):
    def look(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found: Any = document
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(document)
