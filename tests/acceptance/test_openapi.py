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
    response = document["paths"][path][method]["responses"][str(answer.status)]
    where = f"#/paths/{path.replace('/', '~1')}/{method}/responses/{answer.status}"
    if "$ref" in response:
        where = response["$ref"]
        response = document["components"]["responses"][where.rpartition("/")[2]]
    assert response["content"]["application/json"]["schema"] is not None
    registry: Registry[Any] = Registry().with_resource(URN, DRAFT202012.create_resource(document))
    wanted = {"$ref": f"{URN}{where}/content/application~1json/schema"}
    Draft202012Validator(wanted, registry=registry).validate(answer.json)
    return True


def test_the_document_is_of_version_3_1_and_its_schemas_are_of_its_dialect(document):
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


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
