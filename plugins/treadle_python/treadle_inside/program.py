"""The program's own process: a clean one, in which the service's function is called once.

A forked process pays for each page of memory that it is the first to write to, and that is most of what
a small job costs. So whatever is the same for every program is made ready before the fork, and nothing
is imported or looked up here that the program does not need.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import types

from . import containment, results

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable, Iterator
    from io import TextIOWrapper
    from typing import Any

    from .preimport import Preimport

RETURNED, ERROR = "returned.json", "error.json"
"""What the function has returned, or what is served of its failure."""

_JOB = "job.json"
_STDERR = 2
_TOLD = 3
_PIECE = 64 * 1024
_DEEP = 20000
"""Recursion limit while input is read: nothing that was accepted is too deep."""

_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)
"""The kinds of parameters, numbered as inspect does."""


def open_streams() -> None:
    """Have print() write to file descriptors 1 and 2, whatever they will be in a program.

    Line by line: an interim result is seen when it is printed, not when the buffer is full.
    """
    sys.stdout = sys.__stdout__ = _stream(1, "strict")  # type: ignore[misc]  # whoever prints there is heard
    sys.stderr = sys.__stderr__ = _stream(_STDERR, "backslashreplace")  # type: ignore[misc]  # likewise


def _stream(fd: int, errors: str) -> TextIOWrapper:
    return open(fd, "w", encoding="utf-8", errors=errors, buffering=1, closefd=False)


def prepare(
    kind: str, work: str, preimport: Preimport | None, *, told: int, stdout: int, stderr: int
) -> Callable[[], None]:
    """Make this forked process a clean one; return what waits for a request, and runs its program.

    kind is how it is contained, work is the folder that it is to work in, preimport is what has been done of
    its import. The request is all that can be read from told; if that is nothing, this process is not
    needed any more.
    """
    os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, _STDERR)
    os.dup2(told, _TOLD)
    containment.close_files(_TOLD + 1)
    os.chdir(work)
    os.environ["TMPDIR"] = work
    _reseed()
    return lambda: _wait(kind, preimport)


def _wait(kind: str, preimport: Preimport | None) -> None:
    _warm_up()
    text = b""
    while piece := os.read(_TOLD, _PIECE):
        text += piece
    os.close(_TOLD)
    if not text:
        os._exit(0)
    request = json.loads(text)
    containment.show_own(kind)
    for name, value in request["environment"].items():
        os.environ[name] = value
    sys.path.insert(0, request["project"])
    sys.argv = [request["entrypoint"]]
    run(request["folder"], request["entrypoint"], preimport)


def _warm_up() -> None:
    """Do once what the program will do, step by step until it is told to begin.

    The memory that takes is copied by then, and the program does not wait for it.
    """
    begins = select.poll()
    begins.register(_TOLD, select.POLLIN)
    for step in (_warm_up_json, _warm_up_call):
        if begins.poll(0):
            return
        step()


def _warm_up_json() -> None:
    with results.integers_of_any_size():
        results.to_json(json.loads(b'{"data": {"values": [1, 2.5, "text", null, true]}, "params": {}}'))
    os.environ["TREADLE_JOB_ID"] = ""


def _warm_up_call() -> None:
    warmup = importlib.import_module(".warmup", __package__)
    results.is_error(_call(warmup.run, {}, {}))


def run(folder: str, entrypoint: str, preimport: Preimport | None) -> None:
    """Call the service's function and write down what it returns or raises."""
    try:
        value = _call(_load(entrypoint, preimport), *_read_input(folder))
        failed = results.is_error(value)
        text = None if value is None else results.to_json(value)
    except results.NotSerialisable as error:
        failed, text = True, results.failure("INVALID_RESULT", str(error))
    except Exception as error:  # noqa: BLE001  # whatever the program raises is its failure
        sys.__excepthook__(type(error), error, error.__traceback__)
        failed, text = True, results.failure(type(error).__name__, str(error) or type(error).__name__)
        _write(folder, failed, text)
        sys.exit(1)
    if text is not None:
        _write(folder, failed, text)


def _reseed() -> None:
    """Give what was seeded before the fork a seed of its own; Python's `random` sees to that by itself."""
    for name, seed in (("numpy.random", "seed"), ("torch", "seed")):
        if name in sys.modules:
            getattr(sys.modules[name], seed)()


def _read_input(folder: str) -> tuple[Any, Any]:
    with open(os.path.join(folder, _JOB), "rb", buffering=0) as file:
        text = file.read()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEP))
    try:
        with results.integers_of_any_size():
            job = json.loads(text)
    finally:
        sys.setrecursionlimit(limit)
    return job.get("data", {}), job.get("params", {})


def _load(entrypoint: str, preimport: Preimport | None) -> Any:
    module, _, function = entrypoint.partition(":")
    if preimport is not None and preimport.module == module:
        preimport.run()
    return getattr(importlib.import_module(module), function)


def _call(function: Any, data: Any, params: Any) -> Any:
    """Call the function with whichever of data and params its signature asks for; await what is awaitable."""
    positional, named = _arguments(function, data, params)
    value = function(*positional, **named)
    if hasattr(type(value), "__await__"):
        import asyncio  # noqa: PLC0415  # only a program that is asynchronous pays for it

        async def wait() -> Any:
            return await value

        value = asyncio.run(wait())
    return value


def _arguments(function: Any, data: Any, params: Any) -> tuple[list[Any], dict[str, Any]]:
    try:
        parameters = list(_parameters(function))
    except (TypeError, ValueError):  # a builtin or an extension's function
        return [data, params], {}
    offered = {"data": data, "params": params}
    wanted = [name for name, _, _ in parameters]
    left = [name for name in offered if name not in wanted]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, kind, needed in parameters:
        if kind == _VAR_KEYWORD:
            named.update((each, offered[each]) for each in left)
        elif kind == _VAR_POSITIONAL:
            positional += [offered[left.pop(0)] for _ in list(left)]
        elif name in offered and kind == _POSITIONAL_ONLY:
            positional.append(offered[name])
        elif name in offered:
            named[name] = offered[name]
        elif needed and kind != _KEYWORD_ONLY and left:
            offer = left.pop(0)
            if named:
                named[name] = offered[offer]
            else:
                positional.append(offered[offer])
    return positional, named


def _parameters(function: Any) -> Iterator[tuple[str, int, bool]]:
    """Yield the name and the kind of each parameter, and whether it has no default.

    Raises TypeError or ValueError for what has no signature.
    """
    if type(function) is types.FunctionType and not function.__dict__:
        yield from _of_plain_function(function)
        return
    import inspect  # noqa: PLC0415  # most programs are a plain function, for which it costs more than they do

    for each in inspect.signature(function).parameters.values():
        yield each.name, int(each.kind), each.default is each.empty


def _of_plain_function(function: types.FunctionType) -> Iterator[tuple[str, int, bool]]:
    code = function.__code__
    names = iter(code.co_varnames)
    positional = [next(names) for _ in range(code.co_argcount)]
    named = [next(names) for _ in range(code.co_kwonlyargcount)]
    without_default = code.co_argcount - len(function.__defaults__ or ())
    for place, name in enumerate(positional):
        only = place < code.co_posonlyargcount
        yield name, _POSITIONAL_ONLY if only else _POSITIONAL_OR_KEYWORD, place < without_default
    if code.co_flags & 0x04:  # inspect.CO_VARARGS
        yield next(names), _VAR_POSITIONAL, True
    for name in named:
        yield name, _KEYWORD_ONLY, name not in (function.__kwdefaults__ or ())
    if code.co_flags & 0x08:  # inspect.CO_VARKEYWORDS
        yield next(names), _VAR_KEYWORD, True


def _write(folder: str, failed: bool, text: bytes) -> None:
    """Put the result or the error down, whole or not at all."""
    name = ERROR if failed else RETURNED
    draft = os.path.join(folder, "." + name)
    with open(draft, "wb") as file:
        file.write(text)
    os.rename(draft, os.path.join(folder, name))
