"""The supervisor: the parent process of programs. It does not depend on the engine.

A supervisor runs one attempt at a time. For each request:

1. Discard the signals that arrived since the attempt before. Take the child that was forked in advance
   (prefork), or fork one.
2. Publish process.json (identity.py). If another process has published this attempt, reply
   ALREADY_PUBLISHED; at an OSError, reply TRANSIENT_ERROR. Then nothing is started, and the child is kept
   for the next request.
3. Send the request to the child, which becomes the program, and reply STARTED. A child that was killed
   meanwhile is replaced.
4. Copy the child's output to stdout.log and stderr.log up to the limit, and handle signals: at SIGTERM send
   SIGTERM to every process of the program, at SIGUSR1 kill every one.
5. When the child has ended: kill and reap the processes that it left, copy the rest of its output, and
   record the exit as a second name of process.json (`exit-...`).
6. Reply ENDED with that name, and clear the working folder.

The invariants: no process of the attempt is alive once its exit is recorded. An attempt that is published
has an exit, unless its supervisor was killed or failed: a transient error of the host is retried until it
is gone. Replies only save the engine time; the files decide.

Dropped: one supervisor for each attempt, which costs a second fork and a PID namespace for each job. A fork
at the request, for which a job has to wait. Signal handlers in Python, which each forked program would have
to remove (signalfd.py).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
from functools import partial

from . import containment, program
from .identity import Identity
from .signalfd import SignalFd
from .workdir import Workdir

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

    from .preimport import Preimport

_READ_SIZE = 64 * 1024
_STDERR = 2
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

STARTED = b"s"
"""Reply: the child has its request."""
ALREADY_PUBLISHED = b"t"
"""Reply: another process has published process.json of this attempt; nothing has been started."""
TRANSIENT_ERROR = b"e"
"""Reply, followed by an errno: the supervisor could not publish itself; nothing has been started."""
ENDED = b"d"
"""Reply after STARTED, followed by the name of the exit: no process of the attempt is alive."""

_HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
_IGNORED_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_RESULT_FILES = {"error": program.ERROR, "returned": program.RETURNED}
"""The files that a program may leave, by their word in the name of the exit; the first that exists counts."""
_TRANSIENT_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.ENOMEM)


class RunProgram(BaseException):
    """Raised in a forked child: it removes the supervisor's frames from the stack before the program runs."""

    def __init__(self, run: Callable[[], None]) -> None:
        """Carry the function that the process has to call next."""
        super().__init__()
        self.run = run


class Supervisor:
    """This process as a supervisor. It is made once, after the fork that `containment.enter` prepared.

    When the process is killed, an attempt that it runs is lost: process.json is left without an exit.
    """

    def __init__(self, kind: str, place: str) -> None:
        """Contain programs by this kind, which `containment.enter` has returned.

        place is the folder in which the working folder is made. Raises OSError.
        """
        os.setsid()
        self._kind = kind
        self._identity = Identity(kind)
        self._workdir = Workdir(place, self._identity.pid)
        self._signals = SignalFd(_HANDLED_SIGNALS, _IGNORED_SIGNALS)
        self._preimport: Preimport | None = None
        self._preforked: _Child | None = None
        """The child that waits for the next request."""
        program.open_streams()
        containment.become_reaper(kind)

    def close(self) -> None:
        """Remove the working folder."""
        self._workdir.remove()

    def use_preimport(self, preimport: Preimport) -> None:
        """Use this prepared import in all children that are forked from now on."""
        self._preimport = preimport
        if self._preforked is not None:
            self._preforked.close()
            self._preforked = None

    def prefork(self) -> None:
        """Fork a child for the next request, if the host permits. Raises RunProgram in the child."""
        with contextlib.suppress(OSError):
            self._preforked = self._fork()

    def supervise(self, request: bytes, reply_fd: int) -> None:
        """Run one attempt, and return when it is over. Raises RunProgram in the child.

        The replies are written to reply_fd, one message each.
        """
        fields = json.loads(request)
        folder = fields["folder"]
        self._signals.read()  # a signal between two attempts has no effect
        try:
            child = self._preforked = self._preforked or self._fork()
            if not self._identity.publish(folder):
                os.write(reply_fd, ALREADY_PUBLISHED)
                return
        except OSError as error:
            os.write(reply_fd, transient_error(error))
            return
        self._preforked = None
        try:
            while not child.send(request):
                child = _retry_until_done(self._fork)
            _send(reply_fd, STARTED)
            exit_name = self._run_to_end(child, folder, fields["output_limit"])
        except Exception:
            os.dup2(_open_log(folder, "stderr.log"), _STDERR)  # so that the traceback is in the attempt's log
            raise
        _send(reply_fd, ENDED + exit_name.encode())
        _retry_until_done(self._workdir.clear)

    def _run_to_end(self, child: _Child, folder: str, limit: int) -> str:
        """Wait until no process of the program is alive; record the exit, and return its name."""
        logs = [
            _LogWriter(child.stdout, partial(_open_log, folder, "stdout.log"), limit),
            _LogWriter(child.stderr, partial(_open_log, folder, "stderr.log"), limit),
        ]
        status = _wait(child.pid, self._kind, self._signals, logs)
        containment.kill_all(self._kind)
        for log in logs:
            log.finish()
        exit_name = _exit_name(folder, status, any(log.cut for log in logs))
        _retry_until_done(partial(self._identity.link, folder, exit_name))
        return exit_name

    def _fork(self) -> _Child:
        """Fork a child that waits for its request. Raises RunProgram in the child."""
        request, out, err = os.pipe(), os.pipe(), os.pipe()
        try:
            pid = os.fork()
        except OSError:
            for fd in (*request, *out, *err):
                os.close(fd)
            raise
        if pid == 0:
            self._signals.unblock()  # signals have their default effect, as in any new process
            run = program.prepare(
                self._kind,
                self._workdir.path,
                self._preimport,
                request_fd=request[0],
                stdout=out[1],
                stderr=err[1],
            )
            raise RunProgram(run)
        for fd in (request[0], out[1], err[1]):
            os.close(fd)
        return _Child(pid, request[1], out[0], err[0])


class _Child:
    """A forked process that waits for its request and then becomes the program."""

    def __init__(self, pid: int, request_fd: int, stdout: int, stderr: int) -> None:
        """Own the write end of its request, and the read ends of its output."""
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self._request_fd = request_fd

    def send(self, request: bytes) -> bool:
        """Send the request; if the process has ended meanwhile, close this child and return False."""
        try:
            while request:
                request = request[os.write(self._request_fd, request) :]
        except BrokenPipeError:
            self.close()
            return False
        os.close(self._request_fd)
        return True

    def close(self) -> None:
        """Close all pipes; a process that has no request ends then."""
        for fd in (self._request_fd, self.stdout, self.stderr):
            os.close(fd)


def transient_error(error: OSError) -> bytes:
    """Return the reply with the reason why nothing has been started."""
    return TRANSIENT_ERROR + bytes((error.errno or 0,))


def _open_log(folder: str, name: str) -> int:
    return os.open(os.path.join(folder, name), _APPEND, 0o640)


def _send(reply_fd: int, message: bytes) -> None:
    """Send a message to the engine if it still runs; nothing depends on it, because the files decide."""
    with contextlib.suppress(OSError):
        os.write(reply_fd, message)


class _LogWriter:
    """Copies one pipe of the program's output to a log file; beyond the limit it reads and discards."""

    def __init__(self, pipe: int, open_log: Callable[[], int], limit: int) -> None:
        """Own the pipe; call open_log at the first byte, so that no empty file is made."""
        self.pipe = pipe
        self.open = True
        self.cut = False
        """Whether output was discarded."""
        self._open_log = open_log
        self._log: int | None = None
        self._remaining = limit

    def copy(self) -> None:
        """Copy one chunk; at the end of the pipe, set open to False."""
        chunk = os.read(self.pipe, _READ_SIZE)
        if not chunk:
            self.open = False
            return
        kept = chunk[: self._remaining]
        self._remaining -= len(kept)
        self.cut = self.cut or len(kept) < len(chunk)
        try:
            if self._log is None:
                self._log = self._open_log()
            while kept:
                kept = kept[os.write(self._log, kept) :]
        except OSError:  # a full disk must not stop the program: the log is cut, and the exit reports it
            self.cut, self._remaining = True, 0

    def finish(self) -> None:
        """Copy the rest and close both ends; no process that could write is alive."""
        while self.open:
            self.copy()
        os.close(self.pipe)
        if self._log is not None:
            os.close(self._log)


def _wait(pid: int, kind: str, signals: SignalFd, logs: list[_LogWriter]) -> int:
    """Copy output and handle signals until the child has ended; return its wait status."""
    poll = select.poll()
    poll.register(signals.fd, select.POLLIN)
    log_of = {log.pipe: log for log in logs}
    for pipe in log_of:
        poll.register(pipe, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == signals.fd:
                _handle(signals.read(), kind)
                status = _reap(pid)
                if status is not None:
                    return status
            else:
                log_of[fd].copy()
                if not log_of[fd].open:
                    poll.unregister(fd)


def _handle(numbers: list[int], kind: str) -> None:
    if signal.SIGUSR1 in numbers:
        containment.signal_all(kind, signal.SIGKILL)
    elif signal.SIGTERM in numbers:
        containment.signal_all(kind, signal.SIGTERM)


def _reap(child: int) -> int | None:
    """Reap all processes that have ended, orphans too; return the wait status of the child if it has."""
    child_status = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return child_status
            if pid == child:
                child_status = status
    except ChildProcessError:
        return child_status


def _exit_name(folder: str, status: int, cut: bool) -> str:
    """Return the name that records the exit.

    Its parts: the code or signal, the time in milliseconds since 1970, the kind of result if there is one,
    and `cut` if output was cut.
    """
    signaled = os.WIFSIGNALED(status)
    how = f"signal-{os.WTERMSIG(status)}" if signaled else f"code-{os.WEXITSTATUS(status)}"
    results = [word for word, name in _RESULT_FILES.items() if os.path.lexists(os.path.join(folder, name))]
    parts = ["exit", how, str(time.time_ns() // 1_000_000), *results[:1], *(["cut"] if cut else ())]
    return "-".join(parts)


def _retry_until_done(function: Callable[[], Any]) -> Any:
    """Call the function until no transient error of the host prevents it; the attempt is not given up."""
    while True:
        try:
            return function()
        except OSError as error:
            if error.errno not in _TRANSIENT_ERRNOS:
                raise
            time.sleep(0.5)
