"""A supervisor as the engine sees it: its identity, whether it is alive, and how to wait for its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import orjson

from treadle import UntrustedFile, is_this_boot, open_untrusted, read_untrusted
from treadle_python.treadle_inside.protocol import PROCESS

_MAX_SIZE = 4096
"""Bytes of process.json that are read; what a supervisor writes has fewer."""


class SupervisorHandle(msgspec.Struct, frozen=True):
    """The content of process.json: the one process that may run an attempt, or a fence.

    A fence means that no process will ever run it. The file outlives the supervisor and the engine.
    """

    pid: int = 0
    started: int = 0
    """Start time in clock ticks after the boot, field 22 of /proc/<pid>/stat."""
    boot: str = ""
    """What `treadle.boot()` was for the engine that started it; of an earlier version, the boot id alone."""
    kind: str = ""
    fenced: bool = False
    """An engine was the first to publish: no supervisor will ever run this attempt."""

    @classmethod
    def of(cls, folder: Path) -> SupervisorHandle | None:
        """Read the identity of the attempt's supervisor; None if nothing is published.

        Of a file that its program has replaced, nothing is known: the handle of no process.
        """
        try:
            return cls.decode(read_untrusted(f"{folder}/{PROCESS}", _MAX_SIZE))
        except FileNotFoundError:
            return None
        except UntrustedFile:  # a program has put something else there
            return cls()

    @classmethod
    def decode(cls, content: bytes) -> SupervisorHandle:
        """Return what the content of process.json says; damaged content gives a handle of no process."""
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls()  # a power cut has removed the content, or a program has

    @classmethod
    def fence(cls, folder: Path) -> SupervisorHandle:
        """Publish a fence, unless a supervisor was first; return what is published now.

        After that, an attempt without a supervisor never gets one. Where the folder is gone, nothing can be
        published, and what is returned is damaged.
        """
        draft = folder / f".fence-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            fd = open_untrusted(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except (FileNotFoundError, UntrustedFile):
            return cls()
        try:
            os.write(fd, orjson.dumps({"fenced": True}))
            with suppress(FileExistsError):
                os.link(draft, folder / PROCESS)
        finally:
            os.close(fd)
            draft.unlink(missing_ok=True)
        return cls.of(folder) or cls(fenced=True)

    @property
    def of_this_boot(self) -> bool:
        """Whether its pid means the same process now, and files that nobody synced can be trusted."""
        return is_this_boot(self.boot)

    @property
    def damaged(self) -> bool:
        """Whether nobody can tell which process runs the attempt."""
        return not self.fenced and not self.pid

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
        if self.fenced or not self.pid or not self.of_this_boot:
            return None
        try:
            fd = os.pidfd_open(self.pid)
        except (ProcessLookupError, FileNotFoundError):  # the latter for one that is dying (Linux 6.15)
            return None
        if start_time(self.pid) == self.started:
            return fd
        os.close(fd)
        return None


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


def start_time(pid: int) -> int | None:
    """Return the start time of a process; None if it has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])
