"""A supervisor as the engine sees it: its identity, whether it is alive, and how to wait for its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import msgspec
import orjson

from treadle import UntrustedFile, open_untrusted, read_untrusted
from treadle_python.treadle_inside.protocol import PROCESS


class SupervisorHandle(msgspec.Struct, frozen=True):
    """The content of process.json: the one process that may run an attempt, or a fence.

    A fence means that no process will ever run it. The file outlives the supervisor and the engine.
    """

    pid: int = 0
    started: int = 0
    """Start time in clock ticks after the boot, field 22 of /proc/<pid>/stat."""
    boot: str = ""
    kind: str = ""
    fenced: bool = False
    """An engine was the first to publish: no supervisor will ever run this attempt."""

    @classmethod
    def of(cls, folder: Path) -> SupervisorHandle | None:
        """Read the identity of the attempt's supervisor; None if nothing is published.

        Of a file that its program has replaced, nothing is known: the handle of no process.
        """
        try:
            return msgspec.json.decode(read_untrusted(f"{folder}/{PROCESS}"), type=cls)
        except FileNotFoundError:
            return None
        except (UntrustedFile, UnicodeDecodeError, msgspec.DecodeError):
            return cls()  # a power cut removed the content, or the program has damaged it

    @classmethod
    def fence(cls, folder: Path) -> SupervisorHandle:
        """Publish a fence, unless a supervisor was first; return what is published now.

        After that, an attempt without a supervisor never gets one.
        """
        draft = folder / f".fence-{os.getpid()}"
        try:
            fd = open_untrusted(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except (FileNotFoundError, FileExistsError, UntrustedFile):
            return cls.of(folder) or cls(fenced=True)  # without its folder, an attempt can't be published
        try:
            os.write(fd, orjson.dumps({"fenced": True}))
            with suppress(FileExistsError):
                os.link(draft, folder / PROCESS)
        finally:
            os.close(fd)
            draft.unlink(missing_ok=True)
        return cls.of(folder) or cls(fenced=True)

    @contextmanager
    def pidfd(self) -> Iterator[int | None]:
        """Open a pidfd of the supervisor; None if it is not alive.

        The start time is compared after the pidfd is open: an open pidfd never refers to another process.
        """
        fd = self._open()
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def _open(self) -> int | None:
        if self.fenced or not self.pid or self.boot != boot_id():
            return None
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if _start_time(self.pid) == self.started:
            return fd
        os.close(fd)
        return None


@cache
def boot_id() -> str:
    """Return the id of this boot; the kernel makes a new one at each boot, so it is read once."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def send(pidfd: int, number: signal.Signals) -> None:
    """Send a signal; it is no error if the process has ended."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


async def wait_for_end(pidfd: int) -> None:
    """Wait until the process has ended: its pidfd becomes readable then."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def set_ended() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(pidfd, set_ended)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)


def kill_marked(mark: str) -> None:
    """Kill every process that was started with `mark` in its environment.

    These are the processes that a killed supervisor without a PID namespace leaves. A program's descendants
    inherit the mark; a new session or a new parent does not change it.
    """
    variable = mark.encode()
    alive = True
    while alive:
        alive = False
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if variable in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)
                    alive = _start_time(int(environ.parent.name)) is not None


def _start_time(pid: int) -> int | None:
    """Return the start time of a process; None if it has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])
