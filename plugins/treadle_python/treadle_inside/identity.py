"""The identity of a supervisor: process.json, and the other names of that file in an attempt's folder.

process.json holds what identifies a process on this host, now and after a reboot: its pid (as the engine
sees it), its start time in clock ticks after the boot, the boot (as the engine tells it), and its kind of
containment. The kernel reuses pids, and start times count from the boot, so all three are needed.

1. Publish: write a draft, then link(2) it to process.json. A link never replaces an existing name, so
   exactly one process publishes an attempt: a supervisor, or an engine that puts a fence there instead.
   The one that is first decides whether the program is ever run.
2. The draft's name is removed, and the file stays open: one file serves all attempts of its supervisor. In
   the next folder process.json is one more hard link to it, made through /proc/self/fd. When the file has
   lost its last name, has too many, or is on another file system, a new one is written.
3. Record the exit: one more hard link in the attempt's folder, `exit-...`. The exit is in the name alone.

The invariant: a name is made by one system call. It exists completely or not at all, and costs no file of
its own. An earlier version wrote the exit into exit.json: that was one more file to make and to remove for
each job, and its content could be incomplete after a crash. Nothing here is synced: after a power cut the
content may be gone, and the boot has changed anyway. What an exit tells of may be gone then as well, so no
name made here counts after a restart of the host (durable_ends.py makes the one that does).
"""

from __future__ import annotations

import json
import os

from .protocol import PROCESS


class Identity:
    """What identifies this process: the content of process.json. It lives as long as the process."""

    def __init__(self, kind: str, boot: str | None) -> None:
        """Read this process's identity; kind is how it contains its programs.

        boot is what the engine calls this boot. An engine of an earlier version says nothing, and reads the
        boot id alone.
        """
        # /proc is still the engine's here, so this is the pid as the engine sees it.
        self.pid = int(os.readlink("/proc/self"))
        with open("/proc/self/stat", "rb") as stat:
            started = int(stat.read().rpartition(b")")[2].split()[19])
        if boot is None:
            with open("/proc/sys/kernel/random/boot_id") as boot_id:
                boot = boot_id.read().strip()
        fields = {"pid": self.pid, "started": started, "boot": boot, "kind": kind}
        self.content = json.dumps(fields).encode()
        self._fd: int | None = None
        """The open file that gets the names; None until it is written."""

    def publish(self, folder: str) -> bool:
        """Publish process.json in an attempt's folder; return False if there is one. Raises OSError."""
        return self.link(folder, PROCESS)

    def link(self, folder: str, name: str) -> bool:
        """Give the file one more name, in this folder; return False if that name exists. Raises OSError."""
        try:
            return self._link_open_file(folder, name) or self._link_new_file(folder, name)
        except FileExistsError:
            return False

    def _link_open_file(self, folder: str, name: str) -> bool:
        """Link the file that is open; return False if there is none, or it can't have another name."""
        fd = self._fd
        if fd is None:
            return False
        try:
            # Only with src_dir_fd Python calls linkat(2), and only linkat(2) follows the link in /proc.
            os.link(f"/proc/self/fd/{fd}", os.path.join(folder, name), src_dir_fd=fd)
        except FileExistsError:
            raise
        except OSError:  # the file has no name left, has too many, or is on another file system
            os.close(fd)
            self._fd = None
            return False
        return True

    def _link_new_file(self, folder: str, name: str) -> bool:
        draft = os.path.join(folder, f".{name}-{self.pid}")
        with open(draft, "wb", buffering=0) as file:
            file.write(self.content)
        try:
            os.link(draft, os.path.join(folder, name))
            self._fd = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.unlink(draft)
        return True
