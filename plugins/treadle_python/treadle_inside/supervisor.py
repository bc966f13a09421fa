"""The supervisor: the parent that programs have, whatever becomes of the engine.

It keeps one attempt at a time: it publishes itself, hands the attempt to a process that it has forked for
that, puts its output into files, obeys the engine's signals, and when the program has ended it leaves
nobody behind and writes down how it ended.

SIGTERM: every process of the program is sent SIGTERM. SIGUSR1: every one is killed. A signal that
comes between two attempts means nothing.
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
from .signalfd import SignalFile
from .workdir import Workdir

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

    from .preimport import Preimport

_CHUNK = 64 * 1024
_STDERR = 2
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

STARTED = b"s"
"""Answer: the program is forked."""
TAKEN = b"t"
"""Answer: somebody else has published the process of this attempt; nothing has been started."""
TRANSIENT_ERROR = b"e"
"""Answer, an errno follows: the supervisor could not publish itself; nothing has been started."""
ENDED = b"d"
"""Answer, after STARTED: nobody of the attempt is alive; a file's name that tells how it ended follows."""

_HEARD = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_LEFT = {"error": program.ERROR, "returned": program.RETURNED}
"""What a program may have left; the first that is there counts."""
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.ENOMEM)


class Begin(BaseException):
    """Raised in a forked process, so that its supervisor is not on the stack when the program begins."""

    def __init__(self, run: Callable[[], None]) -> None:
        """Have the process call run."""
        super().__init__()
        self.run = run


class Supervisor:
    """This process as a supervisor; made once, in the process that `containment.enter` has prepared for."""

    def __init__(self, kind: str, place: str) -> None:
        """Contain programs in this kind of way, as `containment.enter` has returned it.

        place is where the programs get a folder to work in. Raises OSError.
        """
        os.setsid()
        self._kind = kind
        self._identity = Identity(kind)
        self._work = Workdir(place, self._identity.pid)
        self._signals = SignalFile(_HEARD, _IGNORED)
        self._preimport: Preimport | None = None
        self._next: _Forked | None = None
        """A process that waits to become the next program."""
        program.open_streams()
        containment.settle(kind)

    def close(self) -> None:
        """Leave nothing behind."""
        self._work.remove()

    def use_preimport(self, preimport: Preimport) -> None:
        """Have the next programs begin with what has been done of their import."""
        self._preimport = preimport
        if self._next is not None:
            self._next.drop()
            self._next = None

    def fork_next(self) -> None:
        """Have a process wait for the next attempt, if the host has room for it; raises Begin there."""
        with contextlib.suppress(OSError):
            self._next = self._fork()

    def supervise(self, request: bytes, answer: int) -> None:
        """Keep one attempt, and return once it is over; raises Begin in the program's process.

        answer is a file descriptor on which is said, message by message, how far it is.
        """
        fields = json.loads(request)
        folder = fields["folder"]
        self._signals.read()  # what came before means nothing
        try:
            forked = self._next = self._next or self._fork()
            if not self._identity.publish(folder):
                os.write(answer, TAKEN)
                return
        except OSError as error:
            os.write(answer, transient_error(error))
            return
        self._next = None
        try:
            while not forked.tell(request):
                forked = _retry_until_done(self._fork)
            _tell(answer, STARTED)
            ended = self._bring_to_end(forked, folder, fields["output_limit"])
        except Exception:
            os.dup2(_open(folder, "stderr.log"), _STDERR)  # where the traceback is looked for
            raise
        _tell(answer, ENDED + ended.encode())
        _retry_until_done(self._work.clear)

    def _bring_to_end(self, forked: _Forked, folder: str, limit: int) -> str:
        """Keep a program until nobody of it is alive; return how it ended, which is written down by then."""
        pumps = [
            _Pump(forked.stdout, partial(_open, folder, "stdout.log"), limit),
            _Pump(forked.stderr, partial(_open, folder, "stderr.log"), limit),
        ]
        status = _attend(forked.pid, self._kind, self._signals, pumps)
        containment.kill_all(self._kind)
        for pump in pumps:
            pump.finish()
        ended = _ended(folder, status, any(pump.cut for pump in pumps))
        _retry_until_done(partial(self._identity.put, folder, ended))
        return ended

    def _fork(self) -> _Forked:
        """Fork a process that waits for its request; raises Begin there."""
        told, out, err = os.pipe(), os.pipe(), os.pipe()
        try:
            pid = os.fork()
        except OSError:
            for end in (*told, *out, *err):
                os.close(end)
            raise
        if pid == 0:
            self._signals.unblock()  # they do by themselves what they do in any new process
            run = program.prepare(
                self._kind, self._work.path, self._preimport, told=told[0], stdout=out[1], stderr=err[1]
            )
            raise Begin(run)
        for end in (told[0], out[1], err[1]):
            os.close(end)
        return _Forked(pid, told[1], out[0], err[0])


class _Forked:
    """A process that waits for its request."""

    def __init__(self, pid: int, told: int, stdout: int, stderr: int) -> None:
        """Own what it is told by, and what it prints to."""
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self._told = told

    def tell(self, request: bytes) -> bool:
        """Have it begin; False if it has gone meanwhile, and is to be forgotten."""
        try:
            while request:
                request = request[os.write(self._told, request) :]
        except BrokenPipeError:
            self.drop()
            return False
        os.close(self._told)
        return True

    def drop(self) -> None:
        """Have it go without a request."""
        for end in (self._told, self.stdout, self.stderr):
            os.close(end)


def transient_error(error: OSError) -> bytes:
    """Return the answer that says why nothing has been started."""
    return TRANSIENT_ERROR + bytes((error.errno or 0,))


def _open(folder: str, log: str) -> int:
    return os.open(os.path.join(folder, log), _APPEND, 0o640)


def _tell(answer: int, message: bytes) -> None:
    """Tell the engine, if it is still there; what matters stands in files."""
    with contextlib.suppress(OSError):
        os.write(answer, message)


class _Pump:
    """Carries what the program prints into a file, up to a limit, and goes on reading beyond it."""

    def __init__(self, pipe: int, make: Callable[[], int], limit: int) -> None:
        """Make the file when there is something to carry."""
        self.pipe = pipe
        self.open = True
        self.cut = False
        self._make = make
        self._file: int | None = None
        self._left = limit

    def carry(self) -> None:
        """Carry what is there; it may be the end."""
        chunk = os.read(self.pipe, _CHUNK)
        if not chunk:
            self.open = False
            return
        kept = chunk[: self._left]
        self._left -= len(kept)
        self.cut = self.cut or len(kept) < len(chunk)
        try:
            if self._file is None:
                self._file = self._make()
            while kept:
                kept = kept[os.write(self._file, kept) :]
        except OSError:  # a full disk must not stop the program: the log is cut, and that is told
            self.cut, self._left = True, 0

    def finish(self) -> None:
        """Carry the rest; nobody is left who could write more."""
        while self.open:
            self.carry()
        os.close(self.pipe)
        if self._file is not None:
            os.close(self._file)


def _attend(pid: int, kind: str, signals: SignalFile, pumps: list[_Pump]) -> int:
    """Carry output and obey signals until the program has ended; return its wait status."""
    poll = select.poll()
    poll.register(signals.fd, select.POLLIN)
    by_pipe = {pump.pipe: pump for pump in pumps}
    for pipe in by_pipe:
        poll.register(pipe, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == signals.fd:
                _obey(signals.read(), kind)
                status = _reap(pid)
                if status is not None:
                    return status
            else:
                by_pipe[ready].carry()
                if not by_pipe[ready].open:
                    poll.unregister(ready)


def _obey(numbers: list[int], kind: str) -> None:
    if signal.SIGUSR1 in numbers:
        containment.signal_all(kind, signal.SIGKILL)
    elif signal.SIGTERM in numbers:
        containment.signal_all(kind, signal.SIGTERM)


def _reap(wanted: int) -> int | None:
    """Reap whoever has ended, orphans too; return the wait status of the wanted one if it has."""
    found = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return found
            if pid == wanted:
                found = status
    except ChildProcessError:
        return found


def _ended(folder: str, status: int, cut: bool) -> str:
    """Return the name that tells how a program ended, and when, in milliseconds since 1970."""
    killed = os.WIFSIGNALED(status)
    how = f"signal-{os.WTERMSIG(status)}" if killed else f"code-{os.WEXITSTATUS(status)}"
    left = [what for what, name in _LEFT.items() if os.path.lexists(os.path.join(folder, name))]
    parts = ["exit", how, str(time.time_ns() // 1_000_000), *left[:1], *(["cut"] if cut else ())]
    return "-".join(parts)


def _retry_until_done(act: Callable[[], Any]) -> Any:
    """Do it as soon as the host has room for it: neither the attempt nor its end is given up for that."""
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            time.sleep(0.5)
