"""The program's own process: a clean one, in which the service's function is called once."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import signal
import sys
import traceback

from . import containment, results

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

_STDERR = 2
_FILES = os.sysconf("SC_OPEN_MAX")
_DEEP = 20000
"""Recursion limit while input is read: nothing that was accepted is too deep."""


def prepare(request: dict[str, Any], kind: str, stdout: int, stderr: int) -> Callable[[], None]:
    """Make this forked process a clean one, and return the function that runs the program.

    kind is how it is contained.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    containment.show_own(kind)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(_STDERR + 1, _FILES)
    os.environ.update(request["environment"])
    os.chdir(os.path.join(request["folder"], "work"))
    # Line by line: an interim result is seen when it is printed, not when the buffer is full.
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.path.insert(0, request["project"])
    _reseed()
    sys.argv = [request["entrypoint"]]
    return lambda: run(request)


def run(request: dict[str, Any]) -> None:
    """Call the service's function and write down what it returns or raises."""
    output = os.path.join(request["folder"], "output")
    os.makedirs(output, mode=0o750, exist_ok=True)
    try:
        value = _call(_load(request["entrypoint"]), *_read_input(request["folder"]))
        failed = results.is_error(value)
        text = None if value is None else results.to_json(value)
    except results.NotSerialisable as error:
        failed, text = True, results.failure("INVALID_RESULT", str(error))
    except Exception as error:  # noqa: BLE001  # whatever the program raises is its failure
        traceback.print_exc()
        failed, text = True, results.failure(type(error).__name__, str(error) or type(error).__name__)
        _write(output, failed, text)
        sys.exit(1)
    if text is not None:
        _write(output, failed, text)


def _reseed() -> None:
    """Give what was seeded before the fork a seed of its own; Python's `random` sees to that by itself."""
    for name, seed in (("numpy.random", "seed"), ("torch", "seed")):
        if name in sys.modules:
            getattr(sys.modules[name], seed)()


def _read_input(folder: str) -> tuple[Any, Any]:
    with open(os.path.join(folder, "job.json"), "rb") as file:
        text = file.read()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEP))
    try:
        with results.integers_of_any_size():
            job = json.loads(text)
    finally:
        sys.setrecursionlimit(limit)
    return job.get("data", {}), job.get("params", {})


def _load(entrypoint: str) -> Any:
    module, _, function = entrypoint.partition(":")
    return getattr(importlib.import_module(module), function)


def _call(function: Any, data: Any, params: Any) -> Any:
    """Call the function with whichever of data and params its signature asks for; await what is awaitable."""
    positional, named = _arguments(function, data, params)
    value = function(*positional, **named)
    if inspect.isawaitable(value):
        import asyncio  # noqa: PLC0415  # only a program that is asynchronous pays for it

        async def wait() -> Any:
            return await value

        value = asyncio.run(wait())
    return value


def _arguments(function: Any, data: Any, params: Any) -> tuple[list[Any], dict[str, Any]]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin or an extension's function
        return [data, params], {}
    offered = {"data": data, "params": params}
    left = [name for name in offered if name not in {each.name for each in parameters}]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for each in parameters:
        if each.kind is each.VAR_KEYWORD:
            named.update((name, offered[name]) for name in left)
        elif each.kind is each.VAR_POSITIONAL:
            positional += [offered[left.pop(0)] for _ in list(left)]
        elif each.name in offered and each.kind is each.POSITIONAL_ONLY:
            positional.append(offered[each.name])
        elif each.name in offered:
            named[each.name] = offered[each.name]
        elif each.default is each.empty and each.kind is not each.KEYWORD_ONLY and left:
            name = left.pop(0)
            if named:
                named[each.name] = offered[name]
            else:
                positional.append(offered[name])
    return positional, named


def _write(output: str, failed: bool, text: bytes) -> None:
    """Put the result or the error down, whole or not at all."""
    name = "error.json" if failed else "output.json"
    draft = os.path.join(output, "." + name)
    with open(draft, "wb") as file:
        file.write(text)
    os.rename(draft, os.path.join(output, name))
