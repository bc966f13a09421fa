"""The OpenAPI document of a service, whatever version the service's own document has."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from treadle import Service
from treadle.api.openapi import describe
from treadle_spool import JobOptions

API = ("Health", "Execution", "DataRef", "Job", "Error")
"""The names of the API's own schemas."""


def document(version: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    return described({"components": {"schemas": {"inputData": schema}}}, version)


def described(openapi: dict[str, Any], version: str | None = "3.0.3") -> dict[str, Any]:
    return describe(Service("s", Path(), openapi=openapi | ({"openapi": version} if version else {})), "/s")


def dangling(document: dict[str, Any]) -> list[str]:
    """Return the references of a document that lead nowhere in it."""
    resolver = Registry().with_resource("urn:d", DRAFT202012.create_resource(document)).resolver("urn:d")
    unresolved = []
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            unresolved.append(reference)
    return unresolved


@pytest.mark.parametrize("version", [None, "3.0.3", "3.1.0"])
def test_it_is_always_of_version_3_1(version):
    assert document(version, {})["openapi"] == "3.1.0"


@pytest.mark.parametrize("version", [None, "3.0.0", "3.0.3"])
def test_the_schemas_of_an_older_service_are_converted(version):
    schemas = document(version, {"type": "number", "nullable": True})["components"]["schemas"]
    assert schemas["inputData"] == {"type": ["number", "null"]}


def test_the_schemas_of_a_service_that_has_the_version_stay_as_they_are():
    own = {"type": ["number", "null"], "examples": [1]}
    assert document("3.1.0", own)["components"]["schemas"]["inputData"] == own


def test_the_service_s_document_stays_as_it_is():
    schema = {"type": "number", "nullable": True, "examples": [1], "example": 2}
    service = Service("s", Path(), openapi={"components": {"schemas": {"inputData": schema}}})
    before = copy.deepcopy(service.openapi)
    first = describe(service, "/s")
    assert service.openapi == before
    assert describe(service, "/s") == first


@pytest.mark.parametrize("openapi", [{"components": None}, {"components": {"schemas": None}}, {}])
def test_a_document_without_schemas_is_none_the_worse(openapi):
    assert described(openapi) == described({"components": {"schemas": {"inputData": None}}})


@pytest.mark.parametrize("name", API)
def test_a_schema_of_the_service_and_one_of_the_api_may_have_the_same_name(name):
    own = {"type": "string", "title": "the service's"}
    plain = document("3.1.0", {})
    shared = described({"components": {"schemas": {name: own}}}, "3.1.0")
    assert shared["components"]["schemas"][name] == own
    api = shared["components"]["schemas"][f"Treadle{name}"]
    assert api["properties"] == plain["components"]["schemas"][name]["properties"]
    used = json.dumps([plain["paths"], plain["components"]]).count(f'"#/components/schemas/{name}"')
    moved = json.dumps([shared["paths"], shared["components"]])
    assert moved.count(f'"#/components/schemas/Treadle{name}"') == used > 0
    assert f'"#/components/schemas/{name}"' not in moved


def test_all_names_of_the_api_may_be_taken():
    taken = [*API, *(f"Treadle{name}" for name in API)]
    own = {name: {"title": "the service's"} for name in taken}
    found = described({"components": {"schemas": own}})
    assert {name: found["components"]["schemas"][name] for name in own} == own
    assert dangling(found) == []


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_a_reference_to_another_part_of_the_service_s_document_leads_to_a_copy(version):
    point = {"type": "object", "properties": {"next": {"$ref": "#/paths/~1points/get/x-point"}}}
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}}
    data = {
        "properties": {
            "limit": {"$ref": "#/components/parameters/limit/schema"},
            "again": {"$ref": "#/components/parameters/limit/schema"},
            "point": {"$ref": "#/paths/~1points/get/x-point"},
        }
    }
    found = described(
        {
            "components": {"parameters": {"limit": limit}, "schemas": {"inputData": data}},
            "paths": {"/points": {"get": {"x-point": point}}},
        },
        version,
    )
    assert dangling(found) == []
    schemas = found["components"]["schemas"]
    limits = {schemas["inputData"]["properties"][name]["$ref"] for name in ("limit", "again")}
    assert limits == {"#/components/schemas/parameters.limit.schema"}
    assert schemas["parameters.limit.schema"] == limit["schema"]
    assert set(found["components"]["parameters"]) == {"id", "wait", "prefer", "lastEventId", "last"}


def test_every_schema_is_one_of_json_schema_2020_12():
    for schema in document(None, {})["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_a_job_s_options_are_described_as_the_spool_does():
    execution = document(None, {})["components"]["schemas"]["Execution"]
    assert execution["additionalProperties"] is False
    assert set(JobOptions.__struct_fields__) < set(execution["properties"])
    reference = {"$ref": "#/components/schemas/inputData"}
    assert execution["properties"]["data"] == {"anyOf": [reference, {"type": "null"}]}
