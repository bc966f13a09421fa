"""Where on the disk things are measured."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import suppress
from pathlib import Path


class Places:
    """Folders that lie far from each other on the disk, and from what was deleted just before.

    Without a journal ext4 does not give the inode of a deleted file away again for some minutes, and looks
    through all of them for each new file beside them: the lanes would pay for what another one, or the run
    before, has deleted. Below a folder with the flag T each subfolder lies where its name says, so each
    has a name of its own. Other file systems have no such flag, and no such need.
    """

    def __init__(self, root: Path) -> None:
        """Have them below an empty folder."""
        self._root = root
        with suppress(FileNotFoundError):
            subprocess.run(["chattr", "+T", root], check=False, stderr=subprocess.DEVNULL)

    def new(self, name: str) -> Path:
        """Return where a folder may be made."""
        return self._root / f"{name}-{secrets.token_hex(4)}"
