"""Schemas of OpenAPI 3.0, converted up to those of 3.1, which are JSON Schema 2020-12.

| OpenAPI 3.0 | OpenAPI 3.1 |
| --- | --- |
| `type: T, nullable: true` | `type: [T, "null"]` |
| `enum: [...], nullable: true` | the enum with null |
| `$ref` beside `nullable: true` | `anyOf` of the reference and null |
| `$ref` beside other keywords, which 3.0 ignores | the reference, and its description |
| `minimum: N, exclusiveMinimum: true` (also maximum) | `exclusiveMinimum: N` |
| `example: X`, and `examples` that are no list | `examples: [X, ...]` |
| `format: byte` | `contentEncoding: base64` |
| `format: binary` | `contentMediaType: application/octet-stream` |
| `items: [...]`, `additionalItems`, `dependencies` of draft 4 | their successors |
| keywords of later drafts, such as `const`, which 3.0 ignores | left out |

`nullable` without a type, an enum or a reference has no effect in 3.0, and is left out. Everything else has
the same meaning in both versions. One rule is that of 2020-12: 1.0 is an integer. References are not
followed: service_schemas.py does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.intake.subschemas import Json, with_subschemas

_LATER = {
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$schema",
    "$vocabulary",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
}
"""Keywords of JSON Schema 2020-12 that have no meaning in OpenAPI 3.0."""
_FLAGS = ("deprecated", "readOnly", "writeOnly")
"""Annotations that must be booleans in 2020-12."""
_FORMATS: Mapping[str, Json] = {
    "byte": {"contentEncoding": "base64"},
    "binary": {"contentMediaType": "application/octet-stream"},
}


def is_3_0(document: Mapping[str, Any]) -> bool:
    """Return whether an OpenAPI document is of version 3.0; one without a version counts as such."""
    return str(document.get("openapi", "3.0")).startswith("3.0")


def upgrade(schema: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as one of OpenAPI 3.1; what is no schema stays as it is.

    The argument is not changed at any depth. Parts that need no change are shared with it.
    """
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        return _reference(schema)
    known = {key: value for key, value in schema.items() if key not in _LATER}
    upgraded = with_subschemas(known, upgrade)
    if upgraded.pop("nullable", False) is True:
        _allow_null(upgraded)
    for bound in ("Minimum", "Maximum"):
        _make_exclusive(upgraded, bound.lower(), f"exclusive{bound}")
    _replace_draft_4(upgraded)
    _replace_annotations(upgraded)
    return upgraded


def _reference(schema: Json) -> Json:
    kept: Json = {key: schema[key] for key in ("$ref", "description") if key in schema}
    if schema.get("nullable") is not True:
        return kept
    reference = {"$ref": kept.pop("$ref")}
    return {**kept, "anyOf": [reference, {"type": "null"}]}


def _allow_null(schema: Json) -> None:
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else kind
    if isinstance(kinds, list) and "null" not in kinds:
        schema["type"] = [*kinds, "null"]
    if isinstance(values := schema.get("enum"), list) and None not in values:
        schema["enum"] = [*values, None]


def _make_exclusive(schema: Json, bound: str, exclusive: str) -> None:
    """Replace a boolean exclusiveMinimum or exclusiveMaximum, which says how the bound beside it is meant."""
    if isinstance(schema.get(exclusive), bool):
        is_exclusive = schema.pop(exclusive)
        if is_exclusive and bound in schema:
            schema[exclusive] = schema.pop(bound)


def _replace_draft_4(schema: Json) -> None:
    """Replace keywords of draft 4 that OpenAPI 3.0 does not have, but that services use."""
    rest = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if rest is not None:
            schema["items"] = rest
    dependencies = schema.pop("dependencies", None)
    if isinstance(dependencies, dict):
        names = {name: each for name, each in dependencies.items() if isinstance(each, list)}
        schemas = {name: each for name, each in dependencies.items() if name not in names}
        schema.update({"dependentRequired": names} if names else {})
        schema.update({"dependentSchemas": schemas} if schemas else {})


def _replace_annotations(schema: Json) -> None:
    examples = _listed(schema.pop("examples", None))
    if "example" in schema:
        examples.append(schema.pop("example"))
    if examples:
        schema["examples"] = examples
    for flag in _FLAGS:
        if not isinstance(schema.get(flag, True), bool):
            del schema[flag]
    if isinstance(name := schema.get("format"), str) and name in _FORMATS:
        del schema["format"]
        schema.update(_FORMATS[name])


def _listed(examples: Any) -> list[Any]:
    """Return examples as a new list. A mapping, as media types have, is a common slip for a list."""
    if isinstance(examples, list):
        return [*examples]
    if not isinstance(examples, dict):
        return [] if examples is None else [examples]
    elsewhere = ("$ref", "externalValue")
    inline = [
        each
        for each in examples.values()
        if not (isinstance(each, dict) and any(key in each for key in elsewhere))
    ]
    return [each["value"] if isinstance(each, dict) and "value" in each else each for each in inline]
