from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from treadle.intake.validating import find_fault, is_linear, make_validator, reachable

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 1.5, 1e400, "", "a"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)
items = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["number", "integer", "string", "boolean", "null", "array", ["number", "null"]]
        )
    },
    optional={
        "minimum": st.integers(-2, 2),
        "maximum": st.sampled_from([-1, 0, 1.5]),
        "description": st.just("x"),
        "multipleOf": st.just(2),
        "minLength": st.just(1),
    },
)
schemas = st.fixed_dictionaries(
    {}, optional={"items": items | st.booleans(), "uniqueItems": st.booleans(), "prefixItems": st.just([{}])}
)


@given(schemas, st.lists(values, max_size=5) | values)
def test_what_is_done_anew_has_the_outcome_of_the_library(schema, value):
    validator = make_validator({"inputData": schema}, "inputData")
    fits = find_fault(validator, json.dumps(value).encode()) is None
    assert fits == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    "keyword",
    [
        "pattern",
        "patternProperties",
        "uniqueItems",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "contains",
        "$dynamicRef",
    ],
)
def test_a_schema_with_a_costly_keyword_anywhere_is_not_linear(keyword):
    assert is_linear({"properties": {"x": {"items": {"type": "number"}}}})
    assert not is_linear({"properties": {"x": {"items": {keyword: {}}}}})
    assert is_linear({"properties": {keyword: {"type": "number"}}})


def test_what_a_schema_refers_to_is_found_at_any_depth_and_nothing_else():
    refers = {"items": {"anyOf": [{"$ref": "#/components/schemas/B"}]}}
    every = {"A": {"properties": {"x": refers}}, "B": {"$ref": "#/components/schemas/A"}, "C": {}}
    assert set(reachable(every, "A")) == {"A", "B"}
