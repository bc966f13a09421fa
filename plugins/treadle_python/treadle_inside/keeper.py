"""The keeper: the parent that a program has, whatever becomes of the engine.

It publishes itself, forks the program, puts its output into files, obeys the engine's signals, and
when the program has ended it leaves nobody behind and writes down how it ended.

SIGTERM: every process of the program is sent SIGTERM. SIGUSR1: every one is killed.
"""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import time

from . import containment, program

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from collections.abc import Callable
    from typing import Any

_CHUNK = 64 * 1024


def keep(request: dict[str, Any], me: dict[str, Any], kind: str, answer: int) -> Callable[[], None]:
    """Be the keeper of one attempt, and never return; return only in the program's process.

    me is this process's identity.
    answer is the file descriptor on which is said, once: `s` (started), `t` (taken: somebody else
    has published the process of this attempt), or `e` and an errno (it can't be published).
    """
    os.setsid()
    folder = request["folder"]
    try:
        first = _publish(folder, {**me, "kind": kind})
    except OSError as error:
        os.write(answer, bytes((ord("e"), error.errno or 0)))
        os._exit(0)
    if not first:
        os.write(answer, b"t")
        os._exit(0)
    wakes = _listen()
    containment.settle(kind)
    work = os.path.join(folder, "work")
    _insist(lambda: os.makedirs(work, mode=0o700, exist_ok=True))
    out, err = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        return program.prepare(request, out[1], err[1])
    os.write(answer, b"s")
    os.close(answer)
    os.close(out[1])
    os.close(err[1])
    pumps = [
        _Pump(out[0], os.path.join(folder, "stdout.log"), request["output_limit"]),
        _Pump(err[0], os.path.join(folder, "stderr.log"), request["output_limit"]),
    ]
    status = _attend(pid, kind, wakes, pumps)
    containment.kill_all(kind)
    for pump in pumps:
        pump.drain()
    _remove(work)
    _write_exit(folder, status, any(pump.cut for pump in pumps))
    os._exit(0)


def identity() -> dict[str, Any]:
    """Return what tells this process from every other one, now and after a reboot.

    Read while /proc is still that of the engine's namespace, so that the pid is the engine's view.
    """
    pid = int(os.readlink("/proc/self"))
    with open("/proc/self/stat", "rb") as stat:
        started = int(stat.read().rpartition(b")")[2].split()[19])
    with open("/proc/sys/kernel/random/boot_id") as boot:
        return {"pid": pid, "started": started, "boot": boot.read().strip()}


def _publish(folder: str, fields: dict[str, Any]) -> bool:
    """Put process.json down by link: whoever is first decides whether this attempt is ever run."""
    draft = os.path.join(folder, f".process-{fields['pid']}")
    with open(draft, "w") as file:
        json.dump(fields, file)
    try:
        os.link(draft, os.path.join(folder, "process.json"))
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def _listen() -> int:
    """Have the signals that matter wake a pipe, and return its read end."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, _note)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    return read_end


def _note(number: int, frame: object) -> None:
    """Do nothing: that the signal came stands in the wake-up pipe."""


class _Pump:
    """Carries what the program prints into a file, up to a limit, and goes on reading beyond it."""

    def __init__(self, pipe: int, path: str, limit: int) -> None:
        self.pipe = pipe
        self.open = True
        self.cut = False
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
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
            while kept:
                kept = kept[os.write(self._file, kept) :]
        except OSError:  # a full disk must not stop the program: the log is cut, and that is told
            self.cut, self._left = True, 0

    def drain(self) -> None:
        """Carry the rest; nobody is left who could write more."""
        while self.open:
            self.carry()


def _attend(pid: int, kind: str, wakes: int, pumps: list[_Pump]) -> int:
    """Carry output and obey signals until the program has ended; return its wait status."""
    poll = select.poll()
    poll.register(wakes, select.POLLIN)
    by_pipe = {pump.pipe: pump for pump in pumps}
    for pipe in by_pipe:
        poll.register(pipe, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == wakes:
                _obey(os.read(wakes, 4096), kind)
                status = _reap(pid)
                if status is not None:
                    return status
            else:
                by_pipe[ready].carry()
                if not by_pipe[ready].open:
                    poll.unregister(ready)


def _obey(numbers: bytes, kind: str) -> None:
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


def _remove(work: str) -> None:
    """Remove the program's working folder; most leave nothing in it."""
    try:
        os.rmdir(work)
    except OSError:
        shutil.rmtree(work, ignore_errors=True)


def _write_exit(folder: str, status: int, cut: bool) -> None:
    """Put exit.json down, whole or not at all."""
    killed = os.WIFSIGNALED(status)
    fields = {
        "code": None if killed else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if killed else None,
        "ended": time.time(),
        "cut": cut,
    }
    draft = os.path.join(folder, ".exit.json")

    def write() -> None:
        with open(draft, "w") as file:
            json.dump(fields, file)
        os.rename(draft, os.path.join(folder, "exit.json"))

    _insist(write)


def _insist(act: Callable[[], None]) -> None:
    """Do it as soon as a full disk lets it happen: neither the attempt nor its end is given up for that."""
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            time.sleep(0.5)
