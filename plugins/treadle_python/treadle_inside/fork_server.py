"""The fork server: a process of a service's interpreter that stays, and forks supervisors.

1. The engine starts the process with its setup on stdin. The process imports the modules of `preload`, and
   binds an abstract socket. The socket's name is a hash of everything that the server is made for. Only one
   process can bind a name, so there is one server for each.
2. It reports once on its stdout, as JSON, whether it is ready. Then it forks, and the first process exits:
   the server is no child of the engine, and outlives it. The forked one listens, so that its credentials are
   those that the engine sees. Whoever connects and is a program, or of another user, is refused (peer.py).
3. The first message on a connection is `lease` or a request. The server stays as long as a lease is open.
   Without a lease it ends after `idle` seconds without a request.
4. For a request the server forks a process. This one enters a PID namespace, forks the supervisor as its
   first process, and exits. The supervisor owns the connection: it runs this request and later ones, one at
   a time, and ends when the connection is closed.
5. Replies instead of a start: CANNOT_FORK if the server has threads, or namespaces are not permitted;
   OUTDATED, from a supervisor too, if loaded code has changed on the disk, or the process is too old or too
   large. Before this reply a server closes its socket, so that its name is free for another one.

The invariant: of the service, only `preload` and empty packages are imported here. The rest is imported in
the process of each job.

Dropped: one supervisor for each job, and a spare one that waits for the next job. Both cost two forks and a
namespace for each job. A prefork at once after an attempt, which takes the CPU from the engine while it
publishes the outcome (_PREFORK_DELAY).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import posix  # a module that is preloaded may change os
import select
import signal
import socket
import sys
import time

from . import containment, uncaught
from .connection import Inbox
from .ending import run_and_exit
from .freshness import Freshness
from .limits import limit_files
from .names import give_back
from .namespaces import UsedUp
from .preimport import Preimport
from .preloading import Preloaded
from .protocol import CANNOT_FORK, LEASE, OUTDATED, erase, head_of, transient_error
from .report import report
from .streams import open_streams
from .supervisor import RunProgram, Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any

_PREFORK_DELAY = 0.003
"""Seconds from the end of an attempt to the prefork: meanwhile the engine publishes the outcome, and a fork
would take CPU time from it. Where requests follow faster, there is no delay: a waiting child saves more."""


def main() -> None:
    """Serve until no engine needs the server any more."""
    setup = json.load(sys.stdin)
    limit_files(setup.get("files"))
    report_fd = os.dup(1)  # a process that a module starts does not inherit it
    open_streams()
    give_back(setup["project"])
    try:
        preloaded = Preloaded(setup["preload"], setup["project"])
    except BaseException as error:  # noqa: BLE001  # an import may raise anything, SystemExit too
        report(report_fd, ready=False, problem=f"{type(error).__name__}: {uncaught.detail(error, '')}")
        posix._exit(0)
    server = _Server(setup, preloaded) if preloaded.problem is None else None
    problem = preloaded.problem if server is None else server.problem()
    report(report_fd, ready=True, problem=problem)
    if server is None or problem is not None:
        posix._exit(0)
    listening, listens = os.pipe()
    if os.fork():
        os.close(listens)
        os.read(listening, 1)
        os._exit(0)  # the engine waits for this process; the server has no parent that waits for it
    server.listen()
    os.close(listening)
    os.close(listens)
    server.serve()


class _Server:
    """The fork server of this process; in a forked process, the code that runs its supervisor.

    It ends when it is idle without a lease, when it is outdated, or when it is killed. Its supervisors go on.
    """

    def __init__(self, setup: dict[str, Any], preloaded: Preloaded) -> None:
        self._preloaded = preloaded
        self._contain = setup["contain"]
        self._idle_timeout = setup["idle"]
        """Seconds without a request after which a server without a lease ends."""
        self._leases: dict[int, socket.socket] = {}
        self._inbox = Inbox()
        gc.collect()
        gc.freeze()  # so that a child's garbage collection does not copy the objects that exist now
        self._freshness = Freshness(setup["project"])
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(b"\0" + setup["name"].encode())

    def problem(self) -> str | None:
        """Return why this process must not be forked, or None."""
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            return (
                f"what was preloaded has started threads ({threads - 1}), and threads do not survive a fork"
            )
        return self._preloaded.problem

    def listen(self) -> None:
        """Take connections from now on, in the name of this process."""
        self._listener.listen(128)

    def serve(self) -> None:
        """Fork a supervisor for every connection with a request; return when the server has to end."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the kernel reaps supervisors
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            ready = poll.poll(None if self._leases else self._idle_timeout * 1000)
            if not ready:
                return
            for fd, _ in ready:
                if fd in self._leases:
                    poll.unregister(fd)
                    self._leases.pop(fd).close()
                    continue
                connection, _ = self._listener.accept()
                message = self._inbox.first(connection)
                if message == LEASE:
                    self._leases[connection.fileno()] = connection
                    poll.register(connection, select.POLLIN)
                    continue
                if message:
                    if self._freshness.has_expired() or self._freshness.has_changed():
                        self._listener.close()  # the name is free before the engine reads the reply
                        connection.send(OUTDATED)
                        return
                    self._fork(connection, message)
                    erase(message)
                connection.close()

    def _fork(self, connection: socket.socket, message: memoryview) -> None:
        """Fork a supervisor that owns the connection; return in this process only."""
        if self.problem() is not None:
            connection.send(CANNOT_FORK)
            return
        try:
            if os.fork():
                return
        except OSError as error:
            connection.send(transient_error(error))
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._listener.close()
        for lease in self._leases.values():
            lease.close()
        _enter_namespace(self._contain, connection)
        self._run_supervisor(connection, message)

    def _run_supervisor(self, connection: socket.socket, message: memoryview) -> None:
        """Run attempts until the connection is closed; in a program's process, run the program."""
        try:
            self._supervise(connection, message)
        except RunProgram as raised:
            run = raised.run
        else:
            os._exit(0)
        connection.detach()  # its descriptor is closed, and may be a file of the program soon
        run_and_exit(run, to_the_end=self._preloaded.to_the_end, libraries=self._preloaded.libraries)

    def _supervise(self, connection: socket.socket, message: memoryview) -> None:
        try:
            supervisor = Supervisor(containment.NAMESPACE, head_of(message), self._preloaded)
        except OSError as error:
            connection.send(transient_error(error))
            return
        preimport: Preimport | None = None
        expired = busy = False
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        while message:
            if expired or self._freshness.has_changed():
                with contextlib.suppress(OSError):  # the engine may have gone meanwhile
                    connection.send(OUTDATED)
                break
            if preimport is None or not preimport.is_current():
                preimport = _preimport(head_of(message))
                if preimport is not None:
                    supervisor.use_preimport(preimport)
                    self._freshness.watch(preimport.packages)
            supervisor.supervise(message, connection.fileno())
            erase(message)
            ended_at = time.monotonic()
            if busy or not poll.poll(_PREFORK_DELAY * 1000):
                supervisor.prefork()
            expired = self._freshness.has_expired()
            supervisor.ends.wait_for(poll)
            message = self._inbox.next(connection)
            busy = time.monotonic() - ended_at < _PREFORK_DELAY
        supervisor.close()


def _preimport(request: dict[str, Any]) -> Preimport | None:
    """Prepare the import of a request's entrypoint; None for a command that is no Python function."""
    return Preimport(request["project"], request["entrypoint"]) if "entrypoint" in request else None


def _enter_namespace(contain: str, connection: socket.socket) -> None:
    """Fork again into a new PID namespace; return only in its first process. This process ends here.

    Containment by subreaper is refused. Without a namespace, the processes that a killed supervisor leaves
    are found by their environment, and a forked process shows the environment of the server.
    """
    try:
        kind = containment.enter(contain)
    except UsedUp as error:
        connection.send(transient_error(error))
        os._exit(0)
    except OSError:
        kind = containment.SUBREAPER
    if kind == containment.SUBREAPER:
        connection.send(CANNOT_FORK)
        os._exit(0)
    try:
        if os.fork() == 0:
            return
    except OSError as error:
        connection.send(transient_error(error))
    os._exit(0)
