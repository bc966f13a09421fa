"""A disk whose power can be cut: ext4 in a file, mounted through a loop device."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path
from uuid import uuid4

_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN."""
_NO_LOG_FLUSH = struct.pack("I", 2)
"""What has not been brought to the disk by now is gone, the journal's last entries as well."""
_SIZE = 32 * 1024 * 1024


class Disk:
    """An ext4 file system of its own; raises CalledProcessError where this host can't mount one."""

    def __init__(self, folder: Path, size: int = _SIZE, *options: str) -> None:
        """Make it in a folder, with so many bytes and these options of mount(8)."""
        self._options = options
        self._image = folder / "disk.img"
        self.root = folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()

    def sync(self) -> None:
        """Bring all that is on it to the disk, and nothing of other disks."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            if ctypes.CDLL(None).syncfs(fd) != 0:
                raise OSError("syncfs failed")
        finally:
            os.close(fd)

    def cut_power(self) -> None:
        """Lose what is not on the disk, and start again from what is; the device gets another number."""
        self.lose_power()
        self.come_back()

    def lose_power(self) -> None:
        """Lose what is not on the disk; from now on it does nothing."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def come_back(self) -> None:
        """Start again from what was on the disk when the power was lost.

        On a copy of it: where another mount namespace holds the dead file system, that may still write.
        """
        dead, image = self._device, self._image
        _run("umount", str(self.root))
        self._image = image.with_name(f"disk-{uuid4().hex[:8]}.img")
        _run("cp", "--sparse=always", str(image), str(self._image))
        self._mount()
        _run("losetup", "--detach", dead)
        image.unlink()

    def remove(self) -> None:
        """Unmount the disk."""
        _run("umount", str(self.root))
        _run("losetup", "--detach", self._device)

    def _mount(self) -> None:
        self._device = _run("losetup", "--find", "--show", str(self._image))
        _run("mount", *self._options, self._device, str(self.root))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
