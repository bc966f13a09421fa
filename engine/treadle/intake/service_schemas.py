"""The schemas of a service as JSON Schema 2020-12: admission validates by them, and openapi.json shows them.

They need nothing else of the service's document. A reference to a part of the document that is not a named
schema, such as `#/components/parameters/limit/schema`, leads to a copy of that part among the schemas. A
reference to nothing stays as it is, and so does one to another document.
"""

from __future__ import annotations

import re
from typing import Any

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from treadle.intake.openapi_upgrade import is_3_0, upgrade
from treadle.intake.subschemas import Json, with_subschemas
from treadle.interface.service import Service

_DOCUMENT = "urn:treadle:openapi-spec"


def schemas_of(service: Service) -> Json:
    """Return the schemas by their names; the service's own document is not changed."""
    return _Schemas(service).all


class _Schemas:
    """The schemas of one service, while they are being collected."""

    def __init__(self, service: Service) -> None:
        self._upgrade = upgrade if is_3_0(service.openapi) else lambda schema: schema
        document = DRAFT202012.create_resource(service.openapi)
        registry: Registry[Any] = Registry().with_resource(_DOCUMENT, document)
        self._resolver = registry.resolver(_DOCUMENT)
        named = {name: schema for name, schema in service.schemas.items() if _is_schema(schema)}
        self.all: Json = dict(named)
        self._refs = {_ref(name): _ref(name) for name in named}
        """The reference to each schema of `all`, by the reference in the service's document."""
        for name, schema in named.items():
            self.all[name] = self._follow(self._upgrade(schema))

    def _follow(self, schema: Any) -> Any:
        """Return a schema whose references lead to one of `all`, where that is possible."""
        if not isinstance(schema, dict):
            return schema
        followed = with_subschemas(schema, self._follow)
        if isinstance(ref := schema.get("$ref"), str) and ref.startswith("#/"):
            followed["$ref"] = self._refs.get(ref) or self._add(ref)
        return followed

    def _add(self, ref: str) -> str:
        """Add the part of the document that is referred to, and return the reference to it."""
        try:
            part = self._resolver.lookup(ref).contents
        except Unresolvable:
            return ref
        if not _is_schema(part):
            return ref
        name = re.sub(r"[^A-Za-z0-9_-]+", ".", ref.removeprefix("#/").removeprefix("components/"))
        while name in self.all:
            name += "_"
        self._refs[ref] = _ref(name)
        self.all[name] = part  # takes the name: the part may refer to itself
        self.all[name] = self._follow(self._upgrade(part))
        return _ref(name)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"
