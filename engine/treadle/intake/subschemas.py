"""The keywords of a JSON Schema that have schemas in them, from draft 4 to 2020-12."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

_ONE = {
    "items",
    "not",
    "additionalProperties",
    "additionalItems",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
}
"""Keywords with one schema."""
_NAMED = {"properties", "patternProperties", "dependencies", "dependentSchemas", "definitions", "$defs"}
"""Keywords with schemas by name: no name in there is a keyword."""
_SEVERAL = {"allOf", "anyOf", "oneOf", "prefixItems", "items"}
"""Keywords with a list of schemas. `items` has either one schema or, up to draft 2019-09, a list."""


def with_subschemas(schema: Json, change: Callable[[Any], Any]) -> Json:
    """Return a copy of a schema in which each schema directly inside is replaced by `change` of it.

    A place for a schema may hold anything else, such as a boolean: `change` gets that, too.
    """
    return {key: _value(key, value, change) for key, value in schema.items()}


def _value(key: str, value: Any, change: Callable[[Any], Any]) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: change(each) for name, each in value.items()}
    if key in _SEVERAL and isinstance(value, list):
        return [change(each) for each in value]
    return change(value) if key in _ONE else value
