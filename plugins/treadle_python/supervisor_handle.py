"""A supervisor seen from outside: who it is, whether it lives, and how to wait for it."""

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


class SupervisorHandle(msgspec.Struct, frozen=True):
    """process.json: the one process that may run an attempt, or the word that nobody will."""

    pid: int = 0
    started: int = 0
    """Clock ticks after the boot, field 22 of /proc/<pid>/stat."""
    boot: str = ""
    kind: str = ""
    fenced: bool = False
    """The engine was first: no supervisor will ever run this attempt."""

    @classmethod
    def of(cls, folder: Path) -> SupervisorHandle | None:
        """Read the attempt's supervisor, or None if nobody has published one."""
        try:
            with open(f"{folder}/process.json", "rb", buffering=0) as file:  # noqa: PTH123  # a path to join less
                return msgspec.json.decode(file.read(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return cls()  # a power cut took its content: whoever it was is not alive

    @classmethod
    def fence(cls, folder: Path) -> SupervisorHandle:
        """See to it that an attempt without a supervisor never gets one, and return what stands there now."""
        draft = folder / f".fence-{os.getpid()}"
        draft.write_bytes(orjson.dumps({"fenced": True}))
        with suppress(FileExistsError):
            os.link(draft, folder / "process.json")
        draft.unlink()
        return cls.of(folder) or cls(fenced=True)

    @contextmanager
    def pidfd(self) -> Iterator[int | None]:
        """Give a pidfd of the supervisor, or None if it is not alive any more.

        The start time is compared once the pidfd is open: from then on the pid can't become another's.
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
    """Return what is different after every boot; no process sees more than one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def send(pidfd: int, number: signal.Signals) -> None:
    """Send a signal; a process that has gone meanwhile is no error."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


async def gone(pidfd: int) -> None:
    """Wait until the process has ended; the kernel tells."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not over.done():
            over.set_result(None)

    loop.add_reader(pidfd, tell)
    try:
        await over
    finally:
        loop.remove_reader(pidfd)


def kill_marked(mark: str) -> None:
    """Kill every process that has `mark` in the environment it was started with.

    For what a supervisor without a PID namespace left behind when it was killed itself: a program's
    descendants inherit the mark, wherever they have moved to.
    """
    wanted = mark.encode()
    alive = True
    while alive:
        alive = False
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if wanted in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)
                    alive = _start_time(int(environ.parent.name)) is not None


def _start_time(pid: int) -> int | None:
    """Return the start time of a living process; None for one that has gone or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])
