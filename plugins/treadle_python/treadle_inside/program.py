"""The program's process: it is forked by a supervisor, and calls the service's function once.

1. Before the fork, in the supervisor: `open_streams`. All its programs print through these streams.
2. After the fork: `prepare` makes a session, puts the pipes on file descriptors 1 to 3, closes all others,
   enters the working folder and reseeds random numbers.
3. Warm-up: while no request has arrived, the process does once what every program does.
4. It reads its request up to the end of the pipe. An empty request means that the process is not needed.
5. It mounts its own /proc, sets the environment of the attempt, imports the service's module, and calls the
   function with the job's data and params.
6. It writes returned.json or error.json: to a draft that is renamed, so the file is complete or absent.
   A function that returns None leaves no file; its output decides then.

What this order saves: a forked process copies each page of memory that it writes to first, and this is most
of the cost of a small job. So the same work for every program is done before the fork (1), or before the
request (2, 3), and inspect and asyncio are imported only if the program needs them.
Reading the input before the fork was tried and dropped, because the process is forked before its request
is known. The supervisor's frames are not on the stack here (`supervisor.RunProgram`).
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
"""The files of the function's result, and of the failure that is served to clients."""

_JOB = "job.json"
_STDERR = 2
_REQUEST_FD = 3
_READ_SIZE = 64 * 1024
_INPUT_RECURSION_LIMIT = 20000
"""Recursion limit while the input is parsed: no accepted input is nested more deeply."""

_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)
"""The kinds of parameters, with the numbers of inspect."""


def open_streams() -> None:
    """Make print() write to file descriptors 1 and 2, which each program connects to its own pipes.

    The streams are line-buffered: an interim result is visible when it is printed, not when the buffer is
    full.
    """
    sys.stdout = sys.__stdout__ = _stream(1, "strict")  # type: ignore[misc]  # some programs print there
    sys.stderr = sys.__stderr__ = _stream(_STDERR, "backslashreplace")  # type: ignore[misc]  # likewise


def _stream(fd: int, errors: str) -> TextIOWrapper:
    return open(fd, "w", encoding="utf-8", errors=errors, buffering=1, closefd=False)


def prepare(
    kind: str, workdir: str, preimport: Preimport | None, *, request_fd: int, stdout: int, stderr: int
) -> Callable[[], None]:
    """Prepare this forked process for a program; return the function that waits for the request and runs it.

    kind is the kind of containment. preimport is the prepared import of the entrypoint, if there is one. The
    request is read from request_fd up to its end; if it is empty, the process exits with code 0.
    """
    os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, _STDERR)
    os.dup2(request_fd, _REQUEST_FD)
    containment.close_fds_from(_REQUEST_FD + 1)
    os.chdir(workdir)
    os.environ["TMPDIR"] = workdir
    _reseed()
    return lambda: _receive_and_run(kind, preimport)


def _receive_and_run(kind: str, preimport: Preimport | None) -> None:
    _warm_up()
    raw = b""
    while chunk := os.read(_REQUEST_FD, _READ_SIZE):
        raw += chunk
    os.close(_REQUEST_FD)
    if not raw:
        os._exit(0)
    request = json.loads(raw)
    containment.mount_own_proc(kind)
    for name, value in request["environment"].items():
        os.environ[name] = value
    sys.path.insert(0, request["project"])
    sys.argv = [request["entrypoint"]]
    run(request["folder"], request["entrypoint"], preimport)


def _warm_up() -> None:
    """Do once what every program does, step by step until the request arrives.

    The pages of memory that this writes to are copied now, and not while a job waits.
    """
    poll = select.poll()
    poll.register(_REQUEST_FD, select.POLLIN)
    for step in (_warm_up_json, _warm_up_call):
        if poll.poll(0):
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
    """Call the service's function, and write its result or its failure. Exits with code 1 if it raises."""
    try:
        value = _call(_load(entrypoint, preimport), *_read_input(folder))
        failed = results.is_error(value)
        content = None if value is None else results.to_json(value)
    except results.NotSerialisable as error:
        failed, content = True, results.failure("INVALID_RESULT", str(error))
    except Exception as error:  # noqa: BLE001  # any exception of the program is its failure
        sys.__excepthook__(type(error), error, error.__traceback__)
        failed, content = True, results.failure(type(error).__name__, str(error) or type(error).__name__)
        _write(folder, failed, content)
        sys.exit(1)
    if content is not None:
        _write(folder, failed, content)


def _reseed() -> None:
    """Reseed preloaded libraries after the fork; Python's own `random` reseeds itself."""
    for name, seed in (("numpy.random", "seed"), ("torch", "seed")):
        if name in sys.modules:
            getattr(sys.modules[name], seed)()


def _read_input(folder: str) -> tuple[Any, Any]:
    with open(os.path.join(folder, _JOB), "rb", buffering=0) as file:
        raw = file.read()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _INPUT_RECURSION_LIMIT))
    try:
        with results.integers_of_any_size():
            job = json.loads(raw)
    finally:
        sys.setrecursionlimit(limit)
    return job.get("data", {}), job.get("params", {})


def _load(entrypoint: str, preimport: Preimport | None) -> Any:
    module, _, function = entrypoint.partition(":")
    if preimport is not None and preimport.module == module:
        preimport.run()
    return getattr(importlib.import_module(module), function)


def _call(function: Any, data: Any, params: Any) -> Any:
    """Call the function with those of data and params that its signature names; await an awaitable result."""
    positional, named = _arguments(function, data, params)
    value = function(*positional, **named)
    if hasattr(type(value), "__await__"):
        import asyncio  # noqa: PLC0415  # only an asynchronous program needs it

        async def await_value() -> Any:
            return await value

        value = asyncio.run(await_value())
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


def _write(folder: str, failed: bool, content: bytes) -> None:
    """Write the result or the error by renaming a draft: the file is complete or absent."""
    name = ERROR if failed else RETURNED
    draft = os.path.join(folder, "." + name)
    with open(draft, "wb") as file:
        file.write(content)
    os.rename(draft, os.path.join(folder, name))
