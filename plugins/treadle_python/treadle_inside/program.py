"""The program's process: it is forked by a supervisor, and calls the service's function once.

1. Before the fork: the streams are opened through which all programs print (streams.py).
2. After the fork: `prepare` makes a session, puts the pipes and the channel on file descriptors 1 to 3,
   closes all others, enters the working folder and renews what was preloaded.
3. Warm-up: while no request has arrived, the process does once what every program does.
4. It reads its request up to its end. An empty request means that the process is not needed.
5. It reads the job and opens the draft of the result. Then it confines itself: after that it has no path to
   the attempt's folder any more (mounts.py, privileges.py).
6. It sets the environment of the attempt, imports the service's module, and calls the function with the job's
   data and params. For a request with `argv` it becomes that executable instead.
7. It writes the result or the failure to the draft, and reports it to its supervisor (result_file.py). If the
   disk refuses the result, the failure says so. A function that returns None leaves no file; its output
   decides then.

What this order saves: a forked process copies each page of memory that it writes to first, and this is most
of the cost of a small job. So the same work for every program is done before the fork (1), or before the
request (2, 3), and inspect and asyncio are imported only if the program needs them.
Reading the input before the fork was tried and dropped, because the process is forked before its request
is known. The supervisor's frames are not on the stack here (`supervisor.RunProgram`).
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import select
import signal
import sys

from . import containment, job_file, mounts, own_json, results, streams, uncaught
from .calling import call, load
from .names import give_back
from .result_file import ResultFile
from .trackers import wait_for_trackers

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .preimport import Preimport
    from .preloading import Preloaded

_STDERR = 2
_CHANNEL = 3
_EXIT_NOT_PREPARED = 70
"""EX_SOFTWARE of sysexits.h."""
_EXIT_NOT_WRITTEN = 74
"""EX_IOERR of sysexits.h: neither the result nor an error can be written."""
_EXIT_NOT_EXECUTABLE, _EXIT_NOT_FOUND = 126, 127
"""The exit codes of a shell for a command that can't be executed."""
_READ_SIZE = 64 * 1024


def prepare(
    kind: str,
    folders: tuple[str, str],
    preimport: Preimport | None,
    preloaded: Preloaded | None,
    ends: tuple[int, int, int],
) -> Callable[[], None]:
    """Prepare this forked process for a program; return the function that waits for the request and runs it.

    kind is the kind of containment. The folders, the working folder and the one for /tmp, are empty.
    preimport is the prepared import of the entrypoint, if there is one, and preloaded what a fork server has
    imported. ends are those of this process: the first gives the request up to its end, the others take its
    output. If the request is empty, the process exits with code 0. Nothing is raised: the caller's frames
    belong to the supervisor.
    """
    try:
        request_fd, stdout, stderr = ends
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, _STDERR)
        os.dup2(request_fd, _CHANNEL, inheritable=False)
        containment.close_fds_from(_CHANNEL + 1, () if preloaded is None else preloaded.descriptors)
        if preloaded is not None:
            preloaded.renew()
        workdir, tmp = folders
        os.chdir(workdir)
        os.environ.setdefault("TMPDIR", tmp)
    except BaseException as error:  # noqa: BLE001  # whatever it is, this process is no second supervisor
        sys.__excepthook__(type(error), error, error.__traceback__)
        os._exit(_EXIT_NOT_PREPARED)
    return lambda: _receive_and_run(kind, workdir, tmp, preimport, preloaded)


def _receive_and_run(
    kind: str, workdir: str, tmp: str, preimport: Preimport | None, preloaded: Preloaded | None
) -> None:
    _warm_up()
    raw = b""
    while chunk := os.read(_CHANNEL, _READ_SIZE):
        raw += chunk
    if not raw:
        os._exit(0)
    head, _, environment = raw.partition(b"\n")
    request = {**own_json.parse(head.decode()), "environment": own_json.parse(environment.decode())}
    folder = request["folder"]
    if "argv" in request:
        folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # only exec follows
        _confine(kind, request, workdir, tmp)
        _execute(request, folder_fd)
    job, result = job_file.open_job(folder), ResultFile(folder, _CHANNEL)
    _confine(kind, request, workdir, tmp)
    for name, value in request["environment"].items():
        os.environ[name] = value
    if request.get("workdir") is not None:  # an engine of an earlier version names none
        os.chdir(request["workdir"])
    sys.path.insert(0, request["project"])
    sys.argv = [request["entrypoint"]]
    if preloaded is not None and preloaded.printed is not None:
        preloaded.printed.print()
    run(job, result, request["entrypoint"], preimport)


def _confine(kind: str, request: dict[str, Any], workdir: str, tmp: str) -> None:
    """Hide what the request's mounts cover, and enter the working folder, which is given back.

    The folder tmp becomes its /tmp, unless the service wishes that of the host. Where the host permits no
    mounts, TMPDIR stays the folder's own path.
    """
    rows = request["mounts"]
    if rows:
        rows = [*rows, (workdir, workdir, mounts.READ_WRITE)]
    has_mounts = containment.confine(kind, rows, tmp)
    if rows:
        os.chdir(workdir)
    private = has_mounts and any(row[0] == mounts.TMP for row in rows)
    if (private or request.get("tmp") == "host") and os.environ["TMPDIR"] == tmp:
        os.environ["TMPDIR"] = "/tmp"  # noqa: S108  # its own, or what the service wishes; not in place of the service's own TMPDIR


def _execute(request: dict[str, Any], folder_fd: int) -> NoReturn:
    """Become the executable of a request; if that is impossible, write the failure and exit."""
    argv, environment = request["argv"], request["environment"]
    environment.setdefault("TMPDIR", os.environ["TMPDIR"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them, and exec would keep that
        signal.signal(number, signal.SIG_DFL)
    try:
        if request["workdir"] is not None:
            os.chdir(request["workdir"])
        os.execvpe(argv[0], argv, environment)  # noqa: S606  # the supervisor is to be its parent, and no shell
    except (OSError, ValueError, TypeError, IndexError) as error:  # all but the first: no such command can be
        missing = isinstance(error, FileNotFoundError)
        reason = getattr(error, "strerror", None) or str(error)
        reason += " (it, or the interpreter in its first line)" if missing else ""
        detail = f"{' '.join(map(str, argv[:1]))} can't be executed: {reason}"
        with contextlib.suppress(OSError):
            result = ResultFile("", _CHANNEL, folder_fd)
            result.write("error", results.failure("COMMAND_NOT_STARTED", detail))
        os._exit(_EXIT_NOT_FOUND if missing else _EXIT_NOT_EXECUTABLE)


def main() -> None:
    """Call a service's function in this process; its arguments are folder, project and entrypoint.

    A runtime without a supervisor starts it, on another host for instance: in an empty working folder, with
    the attempt's environment, and with standard output and error connected to the logs.
    """
    folder, project, entrypoint = sys.argv[1:]
    streams.open_streams()
    give_back(project)
    sys.path.insert(0, project)
    sys.argv = [entrypoint]
    run(job_file.open_job(folder), ResultFile(folder, None), entrypoint, None)


def _warm_up() -> None:
    """Do once what every program does, step by step until the request arrives.

    The pages of memory that this writes to are copied now, and not while a job waits.
    """
    poll = select.poll()
    poll.register(_CHANNEL, select.POLLIN)
    for step in (_warm_up_json, _warm_up_call, containment.warm_up):
        if poll.poll(0):
            return
        step()


def _warm_up_json() -> None:
    with results.integers_of_any_size():
        results.to_json(own_json.parse('{"data": {"values": [1, 2.5, "text", null, true]}, "params": {}}'))
    os.environ["TREADLE_JOB_ID"] = ""


def _warm_up_call() -> None:
    warmup = importlib.import_module(".warmup", __package__)
    results.is_error(call(warmup.run, {}, {}))


def run(job: int, result: ResultFile, entrypoint: str, preimport: Preimport | None) -> None:
    """Call the service's function, and write its result or its failure. Exits with code 1 if it raises.

    job is a descriptor of the job's file, which is closed here. The project's folder is first on the path.
    """
    project = sys.path[0]
    atexit.register(wait_for_trackers, os.getpid())  # as the first one it runs last
    try:
        data, params = job_file.read_input(job)
        value = call(load(entrypoint, preimport), data, params)
        word, content = ("returned", None) if value is None else _to_json(value)
    except own_json.NotSerialisable as error:
        word, content = "error", results.failure("INVALID_RESULT", str(error))
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001  # any exception of the program is its failure
        _write(result, "error", results.failure(type(error).__name__, uncaught.detail(error, project)))
        uncaught.show(error)
        raise SystemExit(1) from None  # sys.exit() may be the program's own
    if content is not None:
        _write(result, word, content)


def _to_json(value: Any) -> tuple[str, bytes]:
    """Return the word of what a function returned (protocol.RESULT_FILES), and its JSON."""
    content, has_text = results.to_json(value)
    return "error" if results.is_error(value) else "text" if has_text else "returned", content


def _write(result: ResultFile, word: str, content: bytes) -> None:
    """Write the result or the failure; if that is impossible, write a failure that says so, and exit.

    Where not even that can be written, stderr and the exit code tell.
    """
    try:
        result.write(word, content)
    except OSError as error:
        detail = f"the result, of {len(content)} bytes, can't be written: {error.strerror}"
        sys.__stderr__.write(f"{detail}\n")  # type: ignore[union-attr]  # open_streams has set it
        try:
            result.write("error", results.failure("RESULT_NOT_WRITTEN", detail))
        except OSError:
            raise SystemExit(_EXIT_NOT_WRITTEN) from None
        raise SystemExit(1) from None
