"""The result of a program as JSON."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import io
import json
import pathlib
import subprocess
import sys
import types
import uuid

import numpy
import pandas
import pydantic
import pytest

from treadle_python.treadle_inside import own_json, results


class Plain:
    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


class ErrorResponse:
    def __init__(self) -> None:
        self.code, self.detail = "1", "no"


class SpecialError(ErrorResponse):
    pass


class ResultResponse:
    pass


class Empty:
    pass


class Strange(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Private:
    def __init__(self) -> None:
        self._data = 1


class Slotted:
    __slots__ = ("hidden",)


class HalfSlotted(Slotted):
    def __init__(self) -> None:
        self.hidden = 1
        self.seen = 2


@dataclasses.dataclass(slots=True)
class Point:
    x: int = 1


class NamedPoint(Point):
    def __init__(self) -> None:
        super().__init__()
        self.name = "p"


class Queue(collections.deque[int]):
    def __init__(self) -> None:
        super().__init__([1])
        self.name = "q"


class Bag(set[int]):
    pass


class Day(datetime.date):
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
        (numpy.longdouble(0.5), "0.5"),
        ({1: 1, "2": 2}, '{"1": 1, "2": 2}'),
        ({"00": 512, "1": {"x": numpy.array([1])}}, '{"00": 512, "1": {"x": [1]}}'),
        (
            [datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), datetime.date(2026, 1, 2)],
            '["2026-01-02T03:04:00+00:00", "2026-01-02"]',
        ),
        ([datetime.time(3, 4), Day(2026, 1, 2)], '["03:04:00", "2026-01-02"]'),
        (
            [
                datetime.timedelta(days=1, seconds=3723.5),
                datetime.timedelta(seconds=-1),
                datetime.timedelta(),
            ],
            '["P1DT1H2M3.5S", "-PT1S", "PT0S"]',
        ),
        (
            [decimal.Decimal("1.10"), uuid.UUID(int=1), pathlib.Path("a/b")],
            '["1.10", "00000000-0000-0000-0000-000000000001", "a/b"]',
        ),
        ([{1}, frozenset({2}), Bag({3})], "[[1], [2], [3]]"),
        (pandas.Timestamp("2026-01-02T03:04:05"), '"2026-01-02T03:04:05"'),
        (
            [pandas.Timedelta("1 day"), pandas.Period("2026-01"), pandas.NaT, pandas.NA],
            '["P1D", "2026-01", null, null]',
        ),
        (numpy.array(["2026-01-02", "NaT"], "datetime64[ns]"), '["2026-01-02T00:00:00.000000000", null]'),
        ([numpy.datetime64("2026-01-02"), numpy.timedelta64(90, "s")], '["2026-01-02", "PT1M30S"]'),
        (pandas.DataFrame({"a": [1, 2]}), '{"a":{"0":1,"1":2}}'),
        (ResultResponse(), "{}"),
        (
            [numpy.timedelta64(2**62, "s"), numpy.timedelta64(5, "ns"), pandas.Timedelta(5, "ns")],
            '["P53375995583650DT7H45M4S", "PT0.000000005S", "PT0.000000005S"]',
        ),
        (
            [numpy.timedelta64(1, "M"), numpy.timedelta64(-3, "h"), numpy.timedelta64(7)],
            '["P1M", "-PT3H", 7]',
        ),
        (
            numpy.array([("2026-01-02", 1)], [("day", "M8[ns]"), ("n", "i4")]),
            '[["2026-01-02T00:00:00.000000000", 1]]',
        ),
        (
            [collections.UserDict(a=1), collections.ChainMap({"a": 1}), collections.UserList([1])],
            '[{"a": 1}, {"a": 1}, [1]]',
        ),
        (numpy.clongdouble(1 + 2j), '"(1+2j)"'),
        ({"2026": numpy.datetime64("NaT"), "x": [pandas.NA]}, '{"2026": null, "x": [null]}'),
        (memoryview(b"ab"), "\"b'ab'\""),
        ([NamedPoint(), types.SimpleNamespace(x=1)], '[{"x": 1, "name": "p"}, {"x": 1}]'),
    ],
)
def test_a_value_becomes_json(value, text):
    assert results.to_json(value)[0].decode() == text


def test_an_integer_of_any_size_stays_what_it_is():
    digits = "7" * 10_000
    with results.integers_of_any_size():
        value = int(digits)
    assert results.to_json({"n": value})[0].decode() == f'{{"n": {digits}}}'


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "NaN at $"),
        ({"x": [1, float("inf")]}, "Infinity at $.x[1]"),
        ({"x": Plain(y=float("-inf"))}, "-Infinity at $.x.y"),
        ({"x": object}, "$.x: type"),
        ({(1, 2): 3}, "key that is not a string"),
        ({"x": "\ud800"}, "surrogate"),
        ({"x": [1, lambda: 1]}, "$.x[1]: function"),
        ({"x": ValueError("no value")}, "$.x: ValueError"),
        ({"x": Strange("of a program")}, "$.x: Strange"),
        ({"x": Empty()}, "$.x: Empty"),
        ({"x": HalfSlotted()}, "$.x: HalfSlotted"),
        (
            {"x": [pandas.DataFrame([[1, 2]], columns=[1, "1"])]},
            "$.x[0]: in what to_json() returned, an object has two",
        ),
        (pandas.DataFrame([[1, 2]], columns=[1, "1"]), "$: in what to_json() returned, an object has two"),
        ({"x": {float("nan"): 1}}, "$.x has a key"),
        ({"x": Queue()}, "$.x: Queue"),
        ({"x": Private()}, "$.x: Private"),
        ({"x": io.TextIOWrapper(io.BytesIO())}, "$.x: TextIOWrapper"),
        ({"x": iter([])}, "$.x: list_iterator"),
        ({"x": pandas.Interval(0, 1)}, "$.x: Interval"),
        ({"x": {1: "a", "1": "b"}}, "$.x has two keys that are both '1'"),
        ([{None: "a", "null": "b"}], "$[0] has two keys that are both 'null'"),
        ({True: "a", "true": "b"}, "both 'true'"),
        ({0.5: "a", "0.5": "b"}, "both '0.5'"),
        ({"x": Plain(y={-1: "a", "-1": "b"})}, "$.x.y has two keys that are both '-1'"),
        (numpy.array([1 + 2j, float("nan")]).real, "NaN at $[1]"),
    ],
)
def test_what_json_does_not_have_is_reported_with_its_place(value, words):
    with pytest.raises(own_json.NotSerialisable) as caught:
        results.to_json(value)
    assert words in str(caught.value)


def test_what_refers_to_itself_is_reported():
    value: dict[str, object] = {}
    value["me"] = value
    with pytest.raises(own_json.NotSerialisable, match="part of"):
        results.to_json(value)


def test_what_is_nested_too_deeply_is_reported():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(own_json.NotSerialisable, match="too deeply"):
        results.to_json(value)


def test_a_to_json_that_returns_no_json_is_reported():
    class Wrong:
        def to_json(self) -> str:
            return "{oops"

    with pytest.raises(own_json.NotSerialisable, match="to_json"):
        results.to_json(Wrong())


def test_an_error_is_known_by_the_name_of_its_class():
    assert results.is_error(ErrorResponse())
    assert results.is_error(SpecialError())
    assert not results.is_error({"code": "1"})


def test_a_failure_is_json_whatever_its_text():
    assert json.loads(results.failure("E", "\ud800 ü"))["code"] == "E"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\xff", "\"b'\\\\xff'\""),
        (bytearray(b"a"), "\"bytearray(b'a')\""),
        ([1 + 2j], '["(1+2j)"]'),
        (numpy.array([1j, 2]), '["1j", "(2+0j)"]'),
        ({"x": numpy.complex64(1j)}, '{"x": "1j"}'),
    ],
)
def test_what_has_no_form_but_its_text_is_told(value, text):
    assert results.to_json(value) == (text.encode(), True)
    assert results.to_json({"x": "1j"})[1] is False


@pytest.mark.parametrize(
    "change",
    [
        "json.dumps = lambda *_, **__: 'changed'",
        "json.JSONEncoder.default = lambda *_: 'changed'",
        "json.JSONEncoder.encode = json.JSONEncoder.iterencode = lambda *_, **__: 'changed'",
        "json.JSONEncoder.__init__ = lambda *_, **__: None",
        "json.JSONEncoder = json.encoder.JSONEncoder = None",
        "json.loads = json.JSONDecoder.decode = json.JSONDecoder.raw_decode = None",
    ],
)
def test_a_program_that_changes_json_changes_no_result(change):
    code = (
        "import json, sys, treadle_python.treadle_inside.results as results\n"
        "class Own:\n    def to_json(self):\n        return '[1]'\n"
        f"{change}\n"
        "sys.stdout.buffer.write(results.to_json({'x': [Own(), {2}], 'n': 1})[0])\n"
        "sys.stdout.buffer.write(results.failure('A', 'b'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ('{"x": [[1], [2]], "n": 1}{"code": "A", "detail": "b"}', "")


def test_an_exception_may_be_the_answer_if_its_class_says_so():
    kind = type("ErrorResponse", (Exception,), {})
    answer = kind("no")
    answer.code, answer.detail = "1", "no"
    assert results.to_json(answer)[0] == b'{"code": "1", "detail": "no"}'
