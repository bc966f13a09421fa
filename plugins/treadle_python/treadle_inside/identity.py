"""Who this process is, in a file; what is to be known of an attempt, in the names that the file gets.

A name is put down by one system call, whole or not at all, and costs no file of its own.
"""

from __future__ import annotations

import json
import os

_PROCESS = "process.json"


class Identity:
    """What tells this process from every other one, now and after a reboot: the content of process.json."""

    def __init__(self, kind: str) -> None:
        """Say also how the process contains its programs."""
        # /proc is that of the engine's namespace here, so the pid is the engine's view.
        self.pid = int(os.readlink("/proc/self"))
        with open("/proc/self/stat", "rb") as stat:
            started = int(stat.read().rpartition(b")")[2].split()[19])
        with open("/proc/sys/kernel/random/boot_id") as boot:
            fields = {"pid": self.pid, "started": started, "boot": boot.read().strip(), "kind": kind}
        self._text = json.dumps(fields).encode()
        self._file: int | None = None
        """The file, open: one serves all attempts."""

    def publish(self, folder: str) -> bool:
        """Put process.json down; False if there is one: who is first decides if an attempt is ever run."""
        return self.put(folder, _PROCESS)

    def put(self, folder: str, name: str) -> bool:
        """Give the file a name in a folder; False if that name is taken."""
        try:
            return self._link(folder, name) or self._write(folder, name)
        except FileExistsError:
            return False

    def _link(self, folder: str, name: str) -> bool:
        """Name the file that there is; False if it can't have another name."""
        file = self._file
        if file is None:
            return False
        try:
            # With a folder given, linkat(2) is called, which follows what link(2) does not.
            os.link(f"/proc/self/fd/{file}", os.path.join(folder, name), src_dir_fd=file)
        except FileExistsError:
            raise
        except OSError:  # it has lost all its names, or has too many, or is on another file system
            os.close(file)
            self._file = None
            return False
        return True

    def _write(self, folder: str, name: str) -> bool:
        draft = os.path.join(folder, f".{name}-{self.pid}")
        with open(draft, "wb", buffering=0) as file:
            file.write(self._text)
        try:
            os.link(draft, os.path.join(folder, name))
            self._file = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.unlink(draft)
        return True
