"""A service's function: how it is found, and which inputs its parameters take, whatever its signature is."""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Iterator
    from typing import Any

    from .preimport import Preimport

_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)
"""The kinds of parameters, with the numbers of inspect."""


def load(entrypoint: str, preimport: Preimport | None) -> Any:
    """Return the function that an entrypoint names; uncaught.py knows this one by its name."""
    module, _, function = entrypoint.partition(":")
    if preimport is not None and preimport.module == module:
        preimport.run()
    __import__(module)  # import_module() would leave its frames in the traceback of an error
    return getattr(sys.modules[module], function)


def call(function: Any, data: Any, params: Any) -> Any:
    """Call the function with those of data and params that its signature names; await an awaitable result."""
    positional, named = _arguments(function, data, params)
    value = function(*positional, **named)
    if hasattr(type(value), "__await__"):
        import asyncio  # noqa: PLC0415  # only an asynchronous program needs it

        async def await_value() -> Any:
            return await value

        # What a coroutine raises shows no frame but its own.
        value = asyncio.run(value if isinstance(value, types.CoroutineType) else await_value())
    return value


def _arguments(function: Any, data: Any, params: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments of the call.

    A parameter takes the input of its own name. An input that no parameter names goes to the next required
    parameter, else to *args or **kwargs.
    """
    try:
        parameters = list(_parameters(function))
    except (TypeError, ValueError):  # a builtin or an extension's function
        return [data, params], {}
    inputs = {"data": data, "params": params}
    names = [name for name, _, _ in parameters]
    unassigned = [name for name in inputs if name not in names]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, kind, required in parameters:
        if kind == _VAR_KEYWORD:
            named.update((each, inputs[each]) for each in unassigned)
        elif kind == _VAR_POSITIONAL:
            positional += [inputs[unassigned.pop(0)] for _ in list(unassigned)]
        elif name in inputs and kind == _POSITIONAL_ONLY:
            positional.append(inputs[name])
        elif name in inputs:
            named[name] = inputs[name]
        elif required and kind != _KEYWORD_ONLY and unassigned:
            input_name = unassigned.pop(0)
            if named:
                named[name] = inputs[input_name]
            else:
                positional.append(inputs[input_name])
    return positional, named


def _parameters(function: Any) -> Iterator[tuple[str, int, bool]]:
    """Yield for each parameter its name, its kind, and whether it has no default.

    Raises TypeError or ValueError if function has no signature.
    """
    if type(function) is types.FunctionType and not function.__dict__:
        yield from _parameters_of_plain_function(function)
        return
    import inspect  # noqa: PLC0415  # its import costs more than most programs; a plain function needs none

    for each in inspect.signature(function).parameters.values():
        yield each.name, int(each.kind), each.default is each.empty


def _parameters_of_plain_function(function: types.FunctionType) -> Iterator[tuple[str, int, bool]]:
    code = function.__code__
    names = iter(code.co_varnames)
    positional = [next(names) for _ in range(code.co_argcount)]
    named = [next(names) for _ in range(code.co_kwonlyargcount)]
    without_default = code.co_argcount - len(function.__defaults__ or ())
    for index, name in enumerate(positional):
        kind = _POSITIONAL_ONLY if index < code.co_posonlyargcount else _POSITIONAL_OR_KEYWORD
        yield name, kind, index < without_default
    if code.co_flags & 0x04:  # inspect.CO_VARARGS
        yield next(names), _VAR_POSITIONAL, True
    for name in named:
        yield name, _KEYWORD_ONLY, name not in (function.__kwdefaults__ or ())
    if code.co_flags & 0x08:  # inspect.CO_VARKEYWORDS
        yield next(names), _VAR_KEYWORD, True
