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
NO_DEFAULT = object()


def load(entrypoint: str, preimport: Preimport | None) -> Any:
    """Return the function that an entrypoint names; uncaught.py knows this one by its name."""
    module, _, function = entrypoint.partition(":")
    if preimport is not None and preimport.module == module:
        preimport.run()
    __import__(module)  # import_module() would leave its frames in the traceback of an error
    found = sys.modules[module]
    if not hasattr(found, function):
        path = getattr(found, "__file__", None)
        text = f"cannot import name {function!r} from {module!r} ({path or 'unknown location'})"
        raise ImportError(text, name=module, path=path)
    return getattr(found, function)


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

    A parameter takes the input of its own name. An input that no parameter names goes to the next parameter
    that has no default; one that is not empty also to one whose default is None or empty; else to *args or
    **kwargs. Arguments are positional as far as possible: a wrapper may have other names than what it wraps,
    and show that signature.
    """
    try:
        parameters = list(_parameters(function))
    except Exception:  # noqa: BLE001  # a builtin or an extension's function, or one that raises what it likes
        return [data, params], {}
    inputs = {"data": data, "params": params}
    names = [name for name, _, _ in parameters]
    rest = {name: each for name, each in inputs.items() if name not in names}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    in_order = True
    for name, kind, default in parameters:
        if kind == _VAR_KEYWORD:
            named.update(rest)
        elif kind == _VAR_POSITIONAL:
            positional += rest.values() if in_order else []
            rest.clear()
        elif name not in inputs and (kind == _KEYWORD_ONLY or not _takes(default, rest)):
            in_order = in_order and kind == _KEYWORD_ONLY
        else:
            value = inputs[name] if name in inputs else rest.pop(next(iter(rest)))
            if in_order and kind != _KEYWORD_ONLY:
                positional.append(value)
            else:
                named[name] = value
    return positional, named


def _takes(default: Any, rest: dict[str, Any]) -> bool:
    """Return whether a parameter takes one of the inputs that no parameter names."""
    if default is NO_DEFAULT:
        return bool(rest)
    return (default is None or (isinstance(default, (dict, list, tuple)) and not default)) and any(
        rest.values()
    )


def _parameters(function: Any) -> Iterator[tuple[str, int, Any]]:
    """Yield for each parameter its name, its kind, and its default or NO_DEFAULT.

    Raises TypeError or ValueError if function has no signature.
    """
    if type(function) is types.FunctionType and not function.__dict__:
        yield from _parameters_of_plain_function(function)
        return
    import inspect  # noqa: PLC0415  # its import costs more than most programs; a plain function needs none

    for each in inspect.signature(function).parameters.values():
        yield each.name, int(each.kind), NO_DEFAULT if each.default is each.empty else each.default


def _parameters_of_plain_function(function: types.FunctionType) -> Iterator[tuple[str, int, Any]]:
    code = function.__code__
    names = iter(code.co_varnames)
    positional = [next(names) for _ in range(code.co_argcount)]
    named = [next(names) for _ in range(code.co_kwonlyargcount)]
    defaults, of_named = function.__defaults__ or (), function.__kwdefaults__ or {}
    without = code.co_argcount - len(defaults)
    for index, name in enumerate(positional):
        kind = _POSITIONAL_ONLY if index < code.co_posonlyargcount else _POSITIONAL_OR_KEYWORD
        yield name, kind, NO_DEFAULT if index < without else defaults[index - without]
    if code.co_flags & 0x04:  # inspect.CO_VARARGS
        yield next(names), _VAR_POSITIONAL, NO_DEFAULT
    for name in named:
        yield name, _KEYWORD_ONLY, of_named.get(name, NO_DEFAULT)
    if code.co_flags & 0x08:  # inspect.CO_VARKEYWORDS
        yield next(names), _VAR_KEYWORD, NO_DEFAULT
