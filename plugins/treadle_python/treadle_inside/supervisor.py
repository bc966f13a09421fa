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
6. Reply ENDED with that name, and clear the working folder. An end that the engine does not take is brought
   to the disk later (durable_ends.py).

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
import os
import signal
import time
from functools import partial

from . import containment, program
from .child import Child, channel
from .durable_ends import DurableEnds
from .exit_names import ExitName
from .folders import ProgramFolders
from .identity import Identity
from .log_writer import LogWriter, open_log
from .oom import OomScore
from .protocol import (
    ALREADY_PUBLISHED,
    ENDED,
    STARTED,
    STDERR,
    STDOUT,
    WORK,
    head_of,
    transient_error,
)
from .reaper import wait_for_child
from .signalfd import SignalFd
from .usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

    from .preimport import Preimport
    from .preloading import Preloaded

_STDERR = 2

_HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
_IGNORED_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
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

    def __init__(self, kind: str, fields: dict[str, Any], preloaded: Preloaded | None = None) -> None:
        """Contain programs by this kind, which `containment.enter` has returned.

        fields are those of the first request: `place` is the folder in which the programs' folders are made,
        and `boot` tells this boot. Programs keep what was preloaded open. Raises OSError.
        """
        os.setsid()
        self._kind = kind
        self._preloaded = preloaded
        self.ends = DurableEnds()
        """The ends that no engine has taken yet; `close` has to be called before the process ends."""
        self._identity = Identity(kind, fields.get("boot"))
        self._folders = ProgramFolders(fields["place"], self._identity.pid)
        self._signals = SignalFd(_HANDLED_SIGNALS, _IGNORED_SIGNALS)
        self._preimport: Preimport | None = None
        self._preforked: Child | None = None
        """The child that waits for the next request."""
        self._score = OomScore()
        containment.become_reaper(kind)

    def close(self) -> None:
        """Remove the programs' folders, and bring the ends that no engine has taken to the disk."""
        self._folders.remove()
        self.ends.finish()

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

    def supervise(self, request: memoryview, reply_fd: int, engine_fd: int | None = None) -> None:
        """Run one attempt, and return when it is over. Raises RunProgram in the child.

        The replies are written to reply_fd, one message each. If engine_fd is another descriptor, STARTED is
        written to both, and ENDED to engine_fd.
        """
        engine_fd = reply_fd if engine_fd is None else engine_fd
        fields = head_of(request)
        folder = fields["folder"]
        self._signals.start_anew()  # a signal between two attempts has no effect
        self.ends.look()
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
            if engine_fd != reply_fd:
                _send(reply_fd, STARTED)
            # An engine of an earlier version names no boot, and knows the bare word only.
            _send(engine_fd, STARTED + self._identity.content if "boot" in fields else STARTED)
            ended, failed = self._run_to_end(child, folder, fields["output_limit"])
            if failed and fields.get("keep_work"):
                self._folders.work.keep(os.path.join(folder, WORK))
        except Exception:
            os.dup2(open_log(folder, STDERR), _STDERR)  # so that the traceback is in the attempt's log
            self.ends.finish()
            raise
        _send(engine_fd, ENDED + ended.encode())
        _retry_until_done(self._folders.clear)

    def _run_to_end(self, child: Child, folder: str, limit: int) -> tuple[str, bool]:
        """Wait until no process of the program is alive; record the exit.

        Returns its name, and whether the program failed.
        """
        logs = [
            LogWriter(child.stdout, partial(open_log, folder, STDOUT), limit),
            LogWriter(child.stderr, partial(open_log, folder, STDERR), limit),
        ]
        usage = Usage()
        status = wait_for_child(child.pid, self._kind, self._signals, logs, self.ends, usage=usage)
        containment.kill_all(self._kind, usage)
        for log in logs:
            log.finish()
        result = _retry_until_done(partial(child.collect, folder))
        name = _exit_name(result, status, logs, usage)
        with contextlib.suppress(OSError):  # the program has removed its folder: only the report tells
            _retry_until_done(partial(self._identity.link, folder, name))
            self.ends.remember(folder, name)
        return name, status != 0 or (result is not None and result[0] == "error")

    def _fork(self) -> Child:
        """Fork a child that waits for its request. Raises RunProgram in the child."""
        request, out, err = channel(), os.pipe(), os.pipe()
        tmp = self._folders.tmp_path(mounted=self._kind == containment.NAMESPACE)
        self._score.use_that_of_programs()
        try:
            pid = os.fork()
        except OSError:
            self._score.use_own()
            for fd in (*request, *out, *err):
                os.close(fd)
            raise
        if pid == 0:
            self._signals.unblock()  # signals have their default effect, as in any new process
            folders = self._folders.work.path, tmp
            ends = request[0], out[1], err[1]
            raise RunProgram(program.prepare(self._kind, folders, self._preimport, self._preloaded, ends))
        self._score.use_own()
        for fd in (request[0], out[1], err[1]):
            os.close(fd)
        return Child(pid, request[1], out[0], err[0])


def _send(reply_fd: int, message: bytes) -> None:
    """Send a message to the engine if it still runs; nothing depends on it, because the files decide."""
    with contextlib.suppress(OSError):
        os.write(reply_fd, message)


def _exit_name(result: tuple[str, int] | None, status: int, logs: list[LogWriter], usage: Usage) -> str:
    """Return the name that records an exit of this moment."""
    signaled = os.WIFSIGNALED(status)
    how, number = ("signal", os.WTERMSIG(status)) if signaled else ("code", os.WEXITSTATUS(status))
    word, size = result or (None, None)
    unwritten = [log.unwritten for log in logs if log.unwritten is not None]
    name = ExitName(
        how,
        number,
        time.time_ns() // 1_000_000,
        word=word,
        size=size,
        cut=any(log.cut for log in logs),
        unwritten=unwritten[0] if unwritten else None,
        cpu_ms=usage.cpu_ms,
        peak_kib=usage.peak_kib,
    )
    return str(name)


def _retry_until_done(function: Callable[[], Any]) -> Any:
    """Call the function until no transient error of the host prevents it; the attempt is not given up."""
    while True:
        try:
            return function()
        except OSError as error:
            if error.errno not in _TRANSIENT_ERRNOS:
                raise
            time.sleep(0.5)
