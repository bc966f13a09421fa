"""Validation of a payload against the schemas of a service, in the engine or in a process of its own.

`data` and `params` are validated against the schemas `inputData` and `inputParams`: JSON Schema 2020-12.

What a validation costs is decided by whoever sends the payload. A regular expression such as `^(a+)+$` takes
seconds for 50 bytes, and holds the interpreter meanwhile: no thread helps. So a payload is validated in the
engine only if it is small and its schema has none but keywords whose cost grows with the payload's size alone
(`_LINEAR`). Everything else is the work of a process that can be ended (validation_process.py).

Two keywords are done anew here, with the same outcome: `items` looks at the types of a whole list at once (20
times as fast for a list of numbers), and `uniqueItems` compares by hashes, not each item with each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from treadle.intake.subschemas import Json, with_subschemas

_DOCUMENT = "urn:treadle:openapi-spec"
"""The URI of the document with a service's schemas, for the references inside them."""
_REFERENCE = "#/components/schemas/"
PAYLOADS = {"data": "inputData", "params": "inputParams"}
"""The payloads of a job, and the name of the schema of each."""

_ANNOTATIONS = {
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "nullable",
    "externalDocs",
    "xml",
    "$comment",
}
_NUMBERS = {"minimum", "maximum"}
_LINEAR = _ANNOTATIONS | {
    "type",
    "const",
    "enum",
    "$ref",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "exclusiveMinimum",
    "exclusiveMaximum",
    *_NUMBERS,
}
"""Keywords whose cost grows with the payload alone. `anyOf` and its like multiply at each reference."""
_TYPES: Mapping[str, set[type]] = {
    "number": {int, float},
    "integer": {int},
    "string": {str},
    "boolean": {bool},
    "null": {type(None)},
}
"""The types of a JSON type; a float may be an integer as well, which is looked at one by one."""

_LONGEST = 500
"""Characters of a message."""


class Fault(NamedTuple):
    """Why a payload does not fit."""

    detail: str
    path: str
    """The JSON path below the payload, from `$` on."""


def make_validator(schemas: Json, name: str) -> Validator:
    """Return the validator for one of a service's schemas; nothing is checked."""
    document = DRAFT202012.create_resource({"components": {"schemas": schemas}})
    registry: Registry[Any] = Registry().with_resource(_DOCUMENT, document)
    validator: Validator = _Validator({"$ref": f"{_DOCUMENT}{_REFERENCE}{name}"}, registry=registry)
    return validator


def reachable(schemas: Json, name: str) -> Json:
    """Return those of a service's schemas that one of them refers to, itself among them."""
    found: Json = {}

    def follow(schema: Any) -> Any:
        if isinstance(schema, dict):
            with_subschemas(schema, follow)
            add(str(schema.get("$ref", "")).removeprefix(_REFERENCE))
        return schema

    def add(each: str) -> None:
        if each in schemas and each not in found:
            found[each] = schemas[each]
            follow(schemas[each])

    add(name)
    return found


def is_linear(schema: Any) -> bool:
    """Return whether the cost of a schema, without what it refers to, grows with the payload alone."""
    inside: list[bool] = []

    def follow(part: Any) -> Any:
        if isinstance(part, dict):
            inside.append(part.keys() <= _LINEAR)
            with_subschemas(part, follow)
        return part

    follow(schema)
    return all(inside)


def find_fault(validator: Validator, payload: bytes) -> Fault | None:
    """Return why a payload does not fit, or None if it does."""
    try:
        error = best_match(validator.iter_errors(json.loads(payload, parse_int=_integer)))
    except RecursionError:
        return Fault("the JSON is nested too deeply for its schema", "$")
    except Unresolvable as unresolvable:
        return Fault(
            f"the service's schema refers to a part that its openapi-spec doesn't have: {unresolvable}", "$"
        )
    return None if error is None else Fault(_shortened(error.message), error.json_path)


def _shortened(message: str) -> str:
    """Return the two ends of a message: it begins with the value, and says at its end what is wrong."""
    return message if len(message) <= _LONGEST else f"{message[:300]} ... {message[-150:]}"


def _integer(digits: str) -> int | float:
    """Return an integer of any size; one with more digits than Python converts becomes a float."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _items(validator: Validator, items: Any, instance: Any, schema: Json) -> Iterator[ValidationError]:
    """Do `items`; a list whose values all have the wanted type, within its bounds, is not looked at again."""
    if not (isinstance(instance, list) and isinstance(items, dict) and _all_fit(items, instance, schema)):
        yield from Draft202012Validator.VALIDATORS["items"](validator, items, instance, schema)


def _all_fit(items: Json, instance: list[Any], schema: Json) -> bool:
    wanted = _TYPES.get(items["type"]) if isinstance(items.get("type"), str) else None
    if wanted is None or "prefixItems" in schema or not items.keys() <= _ANNOTATIONS | _NUMBERS | {"type"}:
        return False
    if not set(map(type, instance)) <= wanted:
        return False
    if not instance or not items.keys() & _NUMBERS or not wanted <= {int, float}:
        return True
    lowest, highest = min(instance), max(instance)
    return bool(items.get("minimum", lowest) <= lowest and highest <= items.get("maximum", highest))


def _unique_items(validator: Validator, unique: Any, instance: Any, _: Json) -> Iterator[ValidationError]:
    """Do `uniqueItems`, by the hashes of the items."""
    if unique and isinstance(instance, list) and len(set(map(_hashable, instance))) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _hashable(value: Any) -> Any:
    """Return a value that is equal to another one's exactly if the two are equal in JSON Schema."""
    if isinstance(value, dict):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return ("bool", value) if isinstance(value, bool) else value


_Validator = extend(  # type: ignore[no-untyped-call]  # the library's stubs leave its signature out
    Draft202012Validator, {"items": _items, "uniqueItems": _unique_items}
)
