"""Schemas of OpenAPI 3.0 become those of JSON Schema 2020-12, and mean the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from treadle.intake.openapi_upgrade import is_3_0, upgrade

REF = "#/components/schemas/Point"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"nullable": True}, {}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        ({"enum": ["a", None], "nullable": True}, {"enum": ["a", None]}),
        ({"$ref": REF}, {"$ref": REF}),
        ({"$ref": REF, "nullable": True}, {"anyOf": [{"$ref": REF}, {"type": "null"}]}),
        (
            {"$ref": REF, "nullable": True, "description": "d", "maxLength": 1},
            {"description": "d", "anyOf": [{"$ref": REF}, {"type": "null"}]},
        ),
        ({"$ref": REF, "description": "d", "maxLength": 1}, {"$ref": REF, "description": "d"}),
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
        ({"minimum": 0, "exclusiveMinimum": False}, {"minimum": 0}),
        ({"maximum": 1.5, "exclusiveMaximum": True, "minimum": 1}, {"exclusiveMaximum": 1.5, "minimum": 1}),
        ({"exclusiveMaximum": True}, {}),
        ({"example": {"nullable": True}}, {"examples": [{"nullable": True}]}),
        ({"example": None}, {"examples": [None]}),
        ({"examples": [1], "example": 2}, {"examples": [1, 2]}),
        ({"examples": {"small": {"value": 1}, "plain": 2}, "example": 3}, {"examples": [1, 2, 3]}),
        ({"examples": {"elsewhere": {"$ref": "#/components/examples/one"}}}, {}),
        ({"examples": {"elsewhere": {"externalValue": "one.json"}}}, {}),
        ({"examples": 5}, {"examples": [5]}),
        ({"examples": None}, {}),
        ({"type": ["string", "number"], "nullable": True}, {"type": ["string", "number", "null"]}),
        ({"type": ["string", "null"], "nullable": True}, {"type": ["string", "null"]}),
        ({"const": 1, "if": {}, "$id": "x", "$defs": {"a": {}}, "x-mine": 1}, {"x-mine": 1}),
        ({"readOnly": "yes", "deprecated": True}, {"deprecated": True}),
        ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}),
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False}),
        ({"items": {}, "additionalItems": False}, {"items": {}}),
        (
            {"dependencies": {"a": ["b"], "c": {"type": "object", "nullable": True}}},
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"type": ["object", "null"]}}},
        ),
        ({"format": ["byte"]}, {"format": ["byte"]}),
        ({"type": "string", "format": "byte"}, {"type": "string", "contentEncoding": "base64"}),
        (
            {"type": "string", "format": "binary"},
            {"type": "string", "contentMediaType": "application/octet-stream"},
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"default": {"nullable": True}}, {"default": {"nullable": True}}),
        (True, True),
    ],
)
def test_a_schema_means_the_same_in_the_newer_version(before: Any, after: Any):
    given = copy.deepcopy(before)
    assert upgrade(given) == after
    assert given == before
    assert upgrade(given) == after


@pytest.mark.parametrize(
    "around",
    [
        lambda schema: {"properties": {"nullable": schema, "example": schema, "$ref": schema}},
        lambda schema: {"items": schema},
        lambda schema: {"not": schema},
        lambda schema: {"patternProperties": {"^x": schema}},
        lambda schema: {"additionalProperties": schema},
        lambda schema: {"allOf": [schema]},
        lambda schema: {"anyOf": [schema, schema]},
        lambda schema: {"oneOf": [{"items": {"properties": {"deep": schema}}}]},
    ],
)
def test_a_schema_inside_another_one_is_converted(around: Any):
    assert upgrade(around({"type": "string", "nullable": True})) == around({"type": ["string", "null"]})


def test_what_is_no_schema_stays_as_it_is():
    schema = {
        "additionalProperties": False,
        "required": ["nullable"],
        "discriminator": {"propertyName": "example"},
    }
    assert upgrade(schema) == schema


@pytest.mark.parametrize("value", [None, "a", "b", 1])
def test_the_converted_schema_accepts_what_the_older_one_did(value: Any):
    schema = upgrade({"type": "string", "enum": ["a"], "nullable": True})
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(value) is (value in {None, "a"})


@pytest.mark.parametrize(("version", "old"), [("3.0.3", True), ("3.1.0", False), (3.0, True)])
def test_the_version_of_a_document_is_reported(version: Any, old: bool):
    assert is_3_0({"openapi": version}) is old
    assert is_3_0({})
