"""The OpenAPI document of a service, whatever version the service's own document has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from treadle import Service
from treadle.api.openapi import describe
from treadle_spool import JobOptions


def document(version: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    openapi = {"components": {"schemas": {"inputData": schema, "Job": {"type": "string"}}}}
    return describe(Service("s", Path(), openapi=openapi | ({"openapi": version} if version else {})), "/s")


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


def test_a_service_does_not_replace_the_api_s_own_schemas():
    assert document("3.1.0", {})["components"]["schemas"]["Job"]["type"] == "object"


def test_every_schema_is_one_of_json_schema_2020_12():
    for schema in document(None, {})["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_a_job_s_options_are_described_as_the_spool_does():
    execution = document(None, {})["components"]["schemas"]["Execution"]
    assert execution["additionalProperties"] is False
    assert set(JobOptions.__struct_fields__) < set(execution["properties"])
    assert execution["properties"]["data"] == {"$ref": "#/components/schemas/inputData"}
