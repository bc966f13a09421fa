"""Schemas of OpenAPI 3.0, converted up to those of 3.1, which are JSON Schema 2020-12.

| OpenAPI 3.0 | OpenAPI 3.1 |
| --- | --- |
| `type: T, nullable: true` | `type: [T, "null"]` |
| `enum: [...], nullable: true` | the enum with null |
| `$ref` beside `nullable: true` | `anyOf` of the reference and null |
| `$ref` beside other keywords, which 3.0 ignores | the reference, and its description |
| `minimum: N, exclusiveMinimum: true` (also maximum) | `exclusiveMinimum: N` |
| `example: X` | `examples: [X]` |
| `format: byte` | `contentEncoding: base64` |
| `format: binary` | `contentMediaType: application/octet-stream` |

`nullable` without a type, an enum or a reference has no effect in 3.0, and is left out. Everything else has
the same meaning in both versions. References are not followed: the schemas that they name are converted
where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_ONE = ("items", "not", "additionalProperties")
"""Keywords with one schema. (`additionalProperties` may be a boolean instead.)"""
_NAMED = ("properties",)
"""Keywords with schemas by name: no name in there is a keyword."""
_SEVERAL = ("allOf", "anyOf", "oneOf")
"""Keywords with a list of schemas."""
_FORMATS: Mapping[object, Json] = {
    "byte": {"contentEncoding": "base64"},
    "binary": {"contentMediaType": "application/octet-stream"},
}


def is_3_0(document: Mapping[str, Any]) -> bool:
    """Return whether an OpenAPI document is of version 3.0; one without a version counts as such."""
    return str(document.get("openapi", "3.0")).startswith("3.0")


def upgrade(schema: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as one of OpenAPI 3.1; what is no schema stays as it is."""
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        return _reference(schema)
    upgraded = {key: _value(key, value) for key, value in schema.items()}
    if upgraded.pop("nullable", False) is True:
        _allow_null(upgraded)
    for bound in ("Minimum", "Maximum"):
        _make_exclusive(upgraded, bound.lower(), f"exclusive{bound}")
    if "example" in upgraded:
        upgraded.setdefault("examples", []).append(upgraded.pop("example"))
    if (encoding := _FORMATS.get(upgraded.get("format"))) is not None:
        del upgraded["format"]
        upgraded.update(encoding)
    return upgraded


def _value(key: str, value: Any) -> Any:
    """Return the value of a keyword, with the schemas that are in it converted."""
    if key in _ONE:
        return upgrade(value)
    if key in _NAMED and isinstance(value, dict):
        return {name: upgrade(each) for name, each in value.items()}
    if key in _SEVERAL and isinstance(value, list):
        return [upgrade(each) for each in value]
    return value


def _reference(schema: Json) -> Json:
    kept: Json = {key: schema[key] for key in ("$ref", "description") if key in schema}
    if schema.get("nullable") is not True:
        return kept
    reference = {"$ref": kept.pop("$ref")}
    return {**kept, "anyOf": [reference, {"type": "null"}]}


def _allow_null(schema: Json) -> None:
    if isinstance(kind := schema.get("type"), str) and kind != "null":
        schema["type"] = [kind, "null"]
    if isinstance(values := schema.get("enum"), list) and None not in values:
        schema["enum"] = [*values, None]


def _make_exclusive(schema: Json, bound: str, exclusive: str) -> None:
    """Replace a boolean exclusiveMinimum or exclusiveMaximum, which says how the bound beside it is meant."""
    if isinstance(schema.get(exclusive), bool):
        is_exclusive = schema.pop(exclusive)
        if is_exclusive and bound in schema:
            schema[exclusive] = schema.pop(bound)
