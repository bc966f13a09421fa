"""A machine whose power can be cut: its disk loses what was not synced, its processes go, its boot changes.

The engine is started in a PID namespace and a mount namespace of its own. When the namespace's first process
is killed, the kernel kills everything that the engine has started. A file that is mounted over the kernel's
boot id gives each start another boot. Containers are not part of the machine: their engine stays.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGSTOP

import psutil

from tests.acceptance.server import Server
from tests.crash.disk import Disk
from treadle.testing import eventually

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# The shell stays as the namespace's first process, and reaps what becomes an orphan there.
_BOOT = f'mount --bind "$0" {_BOOT_ID} && "$@"; exit $?'
_NAMESPACES = ["unshare", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child"]


@dataclass
class Machine:
    """A server on a disk of its own. The spool is on the disk; what else a test writes is not."""

    disk: Disk
    folder: Path
    """Where the machine keeps what survives a power cut: the server's log, the file with the boot id."""
    arguments: list[str]
    boots: int = 0
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(self.disk.root / "spool", self.arguments, log=self.folder / "serve.log")
        self.server.around = [*_NAMESPACES, "sh", "-c", _BOOT, str(self.folder / "boot_id")]

    @property
    def spool(self) -> Path:
        return self.server.spool

    def boot(self) -> Machine:
        """Start the server, under another boot id than before."""
        self.boots += 1
        (self.folder / "boot_id").write_text(f"00000000-0000-4000-8000-{self.boots:012}\n")
        self.server.start()
        return self

    def freeze(self) -> None:
        """Stop the engine, and nothing that it has started: whatever happens now, no engine sees it."""
        engine = self._engine()
        engine.send_signal(SIGSTOP)
        eventually(lambda: engine.status() == psutil.STATUS_STOPPED, "the stop of the engine")

    def cut_power(self) -> None:
        """Lose what is not on the disk, and every process; the disk is there again afterwards."""
        self.freeze()  # so that it tells nobody of the failing disk
        self.disk.lose_power()
        self.off()
        self.disk.come_back()

    def sync_something_else(self) -> None:
        """Do what any other program may do: its fsync brings the file system's journal to the disk."""
        fd = os.open(self.disk.root / "something-else", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(fd, os.urandom(8))
            os.fsync(fd)
        finally:
            os.close(fd)

    def off(self) -> None:
        """Kill every process of the machine; idempotent."""
        if self.server.process is None or self.server.process.poll() is not None:
            return
        processes = self._processes()
        self.server.kill()
        eventually(lambda: not any(map(_is_alive, processes)), "the end of the machine's processes")

    def _processes(self) -> list[psutil.Process]:
        assert self.server.process is not None
        return psutil.Process(self.server.process.pid).children(recursive=True)

    def _engine(self) -> psutil.Process:
        """Return the engine: the first of the shell's children; the others are orphans."""
        assert self.server.process is not None
        (shell,) = psutil.Process(self.server.process.pid).children()
        return min(shell.children(), key=lambda child: child.create_time())


def _is_alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def why_not(folder: Path) -> str | None:
    """Return why this host can't play such a machine, or None."""
    boot_id = folder / "boot_id"
    boot_id.write_text("x\n")
    command = [*_NAMESPACES, "sh", "-c", _BOOT, str(boot_id), "cat", _BOOT_ID]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no namespaces here: {error}"
    return None if ran.stdout == "x\n" else f"the boot id is still {ran.stdout}"
