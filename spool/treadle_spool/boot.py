"""The boot of this host, as text: it tells whether a recorded process or an unsynced file can be trusted.

A process id or an unsynced file says nothing after the host has gone down. So whoever records one adds
`boot()`, and whoever reads it asks `is_this_boot`.

    <boot id>/<inode of the PID namespace>-<start of its first process>

- The boot id is the kernel's, new at each boot. In a container it is the host's.
- A container that is restarted under the same boot has another PID namespace: all processes of the earlier
  one are gone. The kernel uses an inode number again, often at once, so the start time of the namespace's
  first process (clock ticks after the boot) is added.

Dropped: the inode alone. A container that was restarted had the same one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def boot() -> str:
    """Return the boot that this process runs under. It never changes while the process lives.

    What the host does not show is left out: without PID namespaces, or with a hidden /proc, it is shorter.
    """
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return boot_id + _namespace()


def is_this_boot(text: str) -> bool:
    """Return whether a recorded boot is the one that this process runs under.

    Of the namespace, only what both have is compared: an earlier version recorded the boot id alone. An empty
    text, such as that of a damaged file, is no boot.
    """
    (recorded_id, *recorded), (boot_id, *present) = _parts(text), _parts(boot())
    if recorded_id != boot_id:
        return False
    return all(one == other or not (one and other) for one, other in zip(recorded, present, strict=True))


def is_this_kernel(text: str) -> bool:
    """Return whether a recorded boot is one of the kernel that runs now, whatever its PID namespace was.

    Then the kernel's clocks have gone on since (clock.py).
    """
    return bool(text) and _parts(text)[0] == _parts(boot())[0]


def _namespace() -> str:
    """Return the parts of the PID namespace, as far as the host shows them."""
    try:
        inode = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    try:
        start = Path("/proc/1/stat").read_bytes().rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError):  # /proc is mounted with hidepid
        return f"/{inode}"
    return f"/{inode}-{start}"


def _parts(text: str) -> tuple[str, str, str]:
    """Return the boot id, the inode and the start; what is not there is empty."""
    boot_id, _, namespace = text.partition("/")
    inode, _, start = namespace.partition("-")
    return boot_id, inode, start
