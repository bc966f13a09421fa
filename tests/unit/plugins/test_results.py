"""The result of a program as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json

import numpy
import pydantic
import pytest

from treadle_python.treadle_inside import results


class Plain:
    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


class ErrorResponse:
    def __init__(self) -> None:
        self.code, self.detail = "1", "no"


class SpecialError(ErrorResponse):
    pass


class OwnText:
    def to_json(self) -> str:
        return '{"b": 1,  "a": 2}'


class OwnValue:
    def to_json(self) -> dict[str, int]:
        return {"a": 1}


class Model(pydantic.BaseModel):
    when: datetime.date
    inner: list[int]


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({"b": 1, "a": "ü"}, '{"b": 1, "a": "ü"}'),
        (2**70, str(2**70)),
        (Plain(result={"x": 1}, metadata=None), '{"result": {"x": 1}, "metadata": null}'),
        (Plain(inner=Plain(x=[Plain(y=1)])), '{"inner": {"x": [{"y": 1}]}}'),
        (OwnText(), '{"b": 1,  "a": 2}'),
        ({"x": OwnText()}, '{"x": {"b": 1, "a": 2}}'),
        (OwnValue(), '{"a": 1}'),
        (Model(when=datetime.date(2026, 1, 2), inner=[1]), '{"when": "2026-01-02", "inner": [1]}'),
        ([Slotted(1)], '[{"x": 1}]'),
        ({"c": Colour.RED}, '{"c": "red"}'),
        (numpy.array([[1, 2]]), "[[1, 2]]"),
        ({"x": numpy.float64(0.5), "n": numpy.int32(3)}, '{"x": 0.5, "n": 3}'),
    ],
)
def test_a_value_becomes_json(value, text):
    assert results.to_json(value).decode() == text


def test_an_integer_of_any_size_stays_what_it_is():
    digits = "7" * 10_000
    with results.integers_of_any_size():
        value = int(digits)
    assert results.to_json({"n": value}).decode() == f'{{"n": {digits}}}'


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "NaN at $"),
        ({"x": [1, float("inf")]}, "Infinity at $.x[1]"),
        ({"x": Plain(y=float("-inf"))}, "-Infinity at $.x.y"),
        ({"x": {1, 2}}, "$.x: set"),
        ({"x": object}, "$.x: type"),
        ({(1, 2): 3}, "key that is not a string"),
        ({"x": "\ud800"}, "surrogate"),
        ({"x": b"bytes"}, "$.x: bytes"),
    ],
)
def test_what_json_does_not_have_is_reported_with_its_place(value, words):
    with pytest.raises(results.NotSerialisable) as caught:
        results.to_json(value)
    assert words in str(caught.value)


def test_what_refers_to_itself_is_reported():
    value: dict[str, object] = {}
    value["me"] = value
    with pytest.raises(results.NotSerialisable, match="part of"):
        results.to_json(value)


def test_what_is_nested_too_deeply_is_reported():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(results.NotSerialisable, match="too deeply"):
        results.to_json(value)


def test_a_to_json_that_returns_no_json_is_reported():
    class Wrong:
        def to_json(self) -> str:
            return "{oops"

    with pytest.raises(results.NotSerialisable, match="to_json"):
        results.to_json(Wrong())


def test_an_error_is_known_by_the_name_of_its_class():
    assert results.is_error(ErrorResponse())
    assert results.is_error(SpecialError())
    assert not results.is_error({"code": "1"})


def test_a_failure_is_json_whatever_its_text():
    assert json.loads(results.failure("E", "\ud800 ü"))["code"] == "E"
