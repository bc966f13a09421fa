from __future__ import annotations

import functools
import inspect

import pytest

from treadle_python.treadle_inside.calling import NO_DEFAULT, _parameters


class Callable:
    def __call__(self, data, params=None):
        pass

    def method(self, data, *, params):
        pass


@functools.wraps(lambda data, other: None)
def wrapped(*_, **__):
    pass


def several(first, second=1, /, third=2, *args, fourth, fifth=3, **rest):
    pass


async def asynchronous(data, params):
    pass


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda data: None,
        lambda data, params: None,
        lambda data=1, params=2: None,
        lambda *args: None,
        lambda **named: None,
        lambda *, data, params=None: None,
        lambda data, /, *more, params: None,
        several,
        asynchronous,
        wrapped,
        functools.partial(several, 1, fifth=2),
        Callable(),
        Callable().method,
        Callable,
    ],
    ids=str,
)
def test_parameters_are_what_inspect_says(function):
    parameters = inspect.signature(function).parameters.values()
    defaults = [NO_DEFAULT if each.default is each.empty else each.default for each in parameters]
    expected = [
        (each.name, int(each.kind), default) for each, default in zip(parameters, defaults, strict=True)
    ]
    assert list(_parameters(function)) == expected


def test_what_has_no_signature_raises_as_inspect_does():
    with pytest.raises((TypeError, ValueError)):
        list(_parameters(type))
