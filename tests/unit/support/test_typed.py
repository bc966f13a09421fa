from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from treadle import TreadleError
from treadle.support.typed import Place, to_struct


class Nested(msgspec.Struct):
    """A table in a table."""

    size: Annotated[int, Meta(gt=0)] = 1


class Sum(msgspec.Struct, tag="sum"):
    """One of two tables that a tag tells apart."""

    values: list[int]


class Product(msgspec.Struct, tag="product", forbid_unknown_fields=True):
    """The other one."""

    factor: int = 1

    def __post_init__(self) -> None:
        """Refuse what no type can tell."""
        if self.factor == 13:
            raise ValueError("13 is no factor")


class Example(msgspec.Struct):
    """One field of each kind."""

    must: str
    text: Annotated[str, Meta(pattern="^[a-z]*$")] = ""
    number: Annotated[float, Meta(ge=0, lt=1)] | None = None
    flag: bool = False
    choice: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    paths: list[Path] = []
    table: dict[str, Annotated[int, Meta(le=3)]] = {}
    nested: Nested | None = None
    named: Annotated[str, Meta(max_length=1, title="one letter")] = "x"
    free: Any = None
    deep: dict[str, list[Nested]] = {}
    either: Sum | Product | None = None
    pair: tuple[int, str] = (1, "a")
    thing: object = None

    def __post_init__(self) -> None:
        """Refuse what no single field can tell."""
        if self.flag and self.choice == "b":
            raise ValueError("flag needs choice 'a'")


def read(**given: Any) -> Example:
    return to_struct({"must": "x"} | given, Example, Place(TreadleError, "here"))


def test_values_become_those_of_the_types():
    example = read(number=0, words=["a"], paths=["~"], table={"a": 1}, nested={"size": 2})
    assert (example.number, example.words, example.paths) == (0.0, ("a",), [Path.home()])
    assert (example.table, example.nested) == ({"a": 1}, Nested(2))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": 1}, "text must be a string, not 1"),
        ({"text": "A"}, "text must be text that matches ^[a-z]*$, not 'A'"),
        ({"number": "x"}, "number must be a number, not 'x'"),
        ({"number": 2}, "number must be at least 0 and less than 1, not 2"),
        ({"flag": "yes"}, "flag must be true or false, not 'yes'"),
        ({"choice": "c"}, "choice must be 'a' or 'b', not 'c'"),
        ({"words": "a"}, "words must be a list of strings, not 'a'"),
        ({"words": ["a", 1]}, "words[1] must be a string, not 1"),
        ({"paths": [True]}, "paths[0] must be a path, not true"),
        ({"table": 1}, "table must be a table, not 1"),
        ({"table": {"a": 1, "b": 4}}, "table.b must be at most 3, not 4"),
        ({"nested": []}, "nested must be a table, not []"),
        ({"nested": {"size": 0}}, "nested.size must be greater than 0, not 0"),
        ({"named": "long"}, "named must be one letter, not 'long'"),
        ({"nested": {"sizze": 1}}, "unknown key 'nested.sizze'; did you mean 'size'?"),
        ({"deep": {"a": [{}, {"x": 1}]}}, "unknown key 'deep.a[1].x'; known are size"),
        ({"deep": {"a": [{"size": "x"}]}}, "deep.a[0].size must be a whole number, not 'x'"),
        ({"either": {"type": "sum"}}, "either.values is missing: it must be a list of whole numbers"),
        ({"either": {"type": "product", "values": []}}, "unknown key 'either.values'; known are factor"),
        ({"either": {"type": "product", "factor": 13}}, "either: 13 is no factor"),
        ({"pair": ["a", "a"]}, "pair[0] must be a whole number, not 'a'"),
        ({"paths": [""]}, "paths[0] must be a non-empty path, not ''"),
        ({"chioce": "a"}, "unknown key 'chioce'; did you mean 'choice'?"),
        ({"flag": True, "choice": "b"}, "flag needs choice 'a'"),
    ],
)
def test_a_fault_is_said_in_plain_words(given, words):
    with pytest.raises(TreadleError) as caught:
        read(**given)
    assert str(caught.value) == f"here: {words}"


def test_values_of_all_kinds_of_types_are_taken():
    example = read(either={"type": "sum", "values": [1]}, pair=[2, "b"], thing={"x": 1}, deep={"a": [{}]})
    assert (example.either, example.pair, example.thing) == (Sum([1]), (2, "b"), {"x": 1})


def test_keys_that_a_struct_does_not_have_may_be_ignored_at_any_depth():
    given = {"must": "x", "nested": {"size": 2, "y": 1}, "z": 1}
    assert to_struct(given, Example, Place(TreadleError), closed=False).nested == Nested(2)
    with pytest.raises(TreadleError, match=r"^nested\.size must be a whole number"):
        to_struct({**given, "nested": {"size": ""}}, Example, Place(TreadleError), closed=False)


def test_a_key_that_is_missing_is_named():
    with pytest.raises(TreadleError, match=r"^must is missing: it must be a string$"):
        to_struct({}, Example, Place(TreadleError))
