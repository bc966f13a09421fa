"""The fork server: a process of a service's interpreter that stays, and forks supervisors.

It listens on an abstract socket, whose name says for what it was made; whoever binds that name first is
the one. A connection's first message is `lease` (the server stays as long as it is open) or a request:
then the connection goes to a new supervisor, which takes that request and others after it, one at a time,
and goes when the connection is closed. The server says once, as JSON on its standard output, whether it
is ready. What is imported here is what `preload` names, and nothing else of the service.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time

from . import containment, supervisor
from .preimport import Preimport

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

_OLDEST = 3600.0
"""Seconds after which a server is replaced, whatever it has gathered by then."""
_GROWN = 64 * 1024 * 1024
"""Bytes that a server may grow by, until it is replaced."""
_PATIENCE = 2.0
"""Seconds that whoever connects has to say what for."""
_QUIET = 0.003
"""Seconds after an attempt in which the engine publishes it, and had better not share its CPU with a fork;
where attempts follow each other faster, a program that waits is worth more."""
_LARGEST = 256 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")

PLAIN = b"p"
"""Answer: this process can't be forked from; start the job without it."""
OUTDATED = b"o"
"""Answer: what was loaded here has changed on the disk; make another server."""


def main() -> None:
    """Serve, until nobody wants it any more."""
    setup = json.load(sys.stdin)
    try:
        _preload(setup["preload"], setup["project"])
        server = _Server(setup)
    except BaseException as error:  # noqa: BLE001  # whatever an import raises, SystemExit too
        _tell({"ready": False, "problem": f"{type(error).__name__}: {error}"})
        return
    _tell({"ready": True, "problem": server.problem()})
    if server.problem() is not None or os.fork():
        os._exit(0)  # the engine waits for this process; the server is nobody's child
    server.serve()


def _run_and_leave(become_program: Callable[[], None]) -> NoReturn:
    """Run the program and end as a forked process does: its threads, exit handlers and output, and no more.

    Taking the interpreter to pieces costs more than all the rest; multiprocessing does not do it either.
    Nor is the supervisor's stack unwound, which would only write to what is shared with it.
    """
    code = 0
    try:
        become_program()
    except SystemExit as leaving:
        code = _exit_code(leaving.code)
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the program may have closed or replaced it
            stream.flush()
    os._exit(code)


def _exit_code(code: object) -> int:
    """Return what the interpreter makes of the argument of sys.exit()."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _preload(modules: list[str], project: str) -> None:
    """Import what the service names, from its project or from what is installed."""
    sys.path.insert(0, project)
    for name in modules:
        importlib.import_module(name)
    sys.path.remove(project)


def _tell(answer: dict[str, Any]) -> None:
    """Say once how it is, and let go of what belongs to the engine."""
    os.write(1, json.dumps(answer).encode() + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


class _Server:
    """Its socket, its leases, and what it must not outlive."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._contain = setup["contain"]
        self._idle = setup["idle"]
        """Seconds without a request after which a server goes that nobody has a lease of."""
        self._leases: dict[int, socket.socket] = {}
        self._loaded = _times(_files(setup["project"]))
        self._born = time.monotonic()
        gc.collect()
        gc.freeze()  # so that a child's garbage collection does not copy what is here
        self._size = _memory()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(b"\0" + setup["name"].encode())
        self._listening.listen(128)

    def problem(self) -> str | None:
        """Say what forbids to fork from this process, or None."""
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            return (
                f"what was preloaded has started threads ({threads - 1}), and threads do not survive a fork"
            )
        return None

    def serve(self) -> None:
        """Fork a supervisor for every connection that has a request, and return at the end."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for supervisors: the kernel reaps them
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        while True:
            ready = poll.poll(None if self._leases else self._idle * 1000)
            if not ready:
                return
            for fd, _ in ready:
                if fd in self._leases:
                    poll.unregister(fd)
                    self._leases.pop(fd).close()
                    continue
                connection, _ = self._listening.accept()
                message = _hear(connection)
                if message == b"lease":
                    self._leases[connection.fileno()] = connection
                    poll.register(connection, select.POLLIN)
                    continue
                if message:
                    if self._is_worn() or self._has_changed():
                        self._listening.close()  # its name is free before the answer is heard
                        connection.send(OUTDATED)
                        return
                    self._fork(connection, message)
                connection.close()

    def _fork(self, connection: socket.socket, message: bytes) -> None:
        """Give a connection to a new supervisor."""
        if self.problem() is not None:
            connection.send(PLAIN)
            return
        try:
            if os.fork():
                return
        except OSError as error:
            connection.send(supervisor.transient_error(error))
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._listening.close()
        for lease in self._leases.values():
            lease.close()
        _go_inside(self._contain, connection)
        self._supervise(connection, message)

    def _supervise(self, connection: socket.socket, message: bytes) -> NoReturn:
        """Keep one attempt after the other; in a program's process, run the program."""
        try:
            self._supervise_all(connection, message)
        except supervisor.Begin as begun:
            run = begun.run
        else:
            os._exit(0)
        _run_and_leave(run)

    def _supervise_all(self, connection: socket.socket, message: bytes) -> None:
        try:
            supervisor_ = supervisor.Supervisor(containment.NAMESPACE, json.loads(message)["place"])
        except OSError as error:
            connection.send(supervisor.transient_error(error))
            return
        preimport: Preimport | None = None
        worn = hurried = False
        more = select.poll()
        more.register(connection, select.POLLIN)
        room = bytearray(_LARGEST)  # made once: the C library maps and unmaps so much each time
        while message:
            if worn or self._has_changed():
                connection.send(OUTDATED)
                break
            if preimport is None or not preimport.holds():
                request = json.loads(message)
                preimport = Preimport(request["project"], request["entrypoint"])
                supervisor_.use_preimport(preimport)
                self._loaded.update(preimport.packages)
            supervisor_.supervise(message, connection.fileno())
            ended = time.monotonic()
            if hurried or not more.poll(_QUIET * 1000):
                supervisor_.fork_next()
            worn = self._is_worn()
            message = bytes(room[: connection.recv_into(room)])
            hurried = time.monotonic() - ended < _QUIET
        supervisor_.close()

    def _has_changed(self) -> bool:
        """Say whether something that was loaded is another one now."""
        return _times(self._loaded) != self._loaded

    def _is_worn(self) -> bool:
        """Say whether this process is old, or has grown."""
        return time.monotonic() - self._born > _OLDEST or _memory() - self._size > _GROWN


def _go_inside(contain: str, connection: socket.socket) -> None:
    """Go on in the first process of a new PID namespace; this one, which has to be between, ends here.

    Nothing else will do: what a killed supervisor leaves without a namespace is found by its environment,
    and what is forked shows the server's.
    """
    try:
        kind = containment.enter(contain)
    except OSError:
        kind = containment.SUBREAPER
    if kind == containment.SUBREAPER:
        connection.send(PLAIN)
        os._exit(0)
    try:
        if os.fork() == 0:
            return
    except OSError as error:
        connection.send(supervisor.transient_error(error))
    os._exit(0)


def _hear(connection: socket.socket) -> bytes:
    """Return what a process of the same user says, or nothing."""
    connection.settimeout(_PATIENCE)
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user not in (os.geteuid(), 0):
        return b""
    try:
        message = connection.recv(_LARGEST)
    except OSError:
        return b""
    connection.settimeout(None)
    return message


def _files(project: str) -> list[str]:
    """Return what tells of a change: in our own modules, in what is installed, in the project."""
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = [file for file in modules if file and file.startswith(project)]
    installed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return [sys.executable, os.path.dirname(__file__), *installed, *files]


def _times(paths: Iterable[str]) -> dict[str, int]:
    found = {}
    for path in paths:
        try:
            found[path] = os.stat(path).st_mtime_ns
        except OSError:
            found[path] = 0
    return found


def _memory() -> int:
    """Return the bytes of this process that are in memory."""
    file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(file, 100).split()[1]) * _PAGE
    finally:
        os.close(file)
