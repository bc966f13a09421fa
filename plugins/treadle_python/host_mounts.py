"""How this host's mounts are passed on to the mount namespace that a program has.

A program's mount namespace begins as a copy of the host's. Where the host's mounts are shared, as systemd
makes them, an unmount on the host is followed in the copy. Where they are private, the copy keeps what was
mounted when the program began: a stick that the program never touched stays busy until the program ends.

Dropped: to unmount in the copy what a program does not need, because nobody can tell what that is; and to
make the host's mounts shared, which is the administrator's decision.
"""

from __future__ import annotations

from pathlib import Path

BUSY = "a job keeps every mount of this host busy that was there when it began, because / is a private mount"
REMEDY = "to unmount something while jobs run: mount --make-rshared / (before the jobs begin)"


def follows_unmounts(mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether a program follows an unmount on the host; True where nobody can tell."""
    try:
        lines = mountinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return True
    roots = [fields for fields in map(str.split, lines) if len(fields) > 6 and fields[4] == "/"]  # noqa: PLR2004  # proc(5)
    if not roots:
        return True
    optional = roots[-1][6:]  # the last one is on top
    return any(field.startswith("shared:") for field in optional[: optional.index("-")])
