"""The place of a spool: whether a folder can be one, with the reason if it can't.

The spool needs hard links (accept, claim and finish use them) and a writable disk. Without this check the
first job would find out, not the start.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from treadle_spool.errors import NotASpool
from treadle_spool.identity import FOLDERS, IDENTITY, LOCK

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


def check_place(root: Path) -> None:
    """Make the folder if it does not exist, and raise NotASpool if an engine can't work there.

    Called at the start of an engine, before the spool is opened. Nothing is written to a folder that holds
    something else; `identify` refuses that.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotASpool(f"the spool {root} can't be made: a part of this path is not a folder") from None
    except OSError as error:
        raise NotASpool(f"the spool {root} can't be made: {error.strerror}") from None
    try:
        with os.scandir(root) as entries:
            names = {entry.name for entry in entries if not entry.name.startswith(".")}
        if names <= {*FOLDERS, IDENTITY, LOCK} or IDENTITY in names:
            _try(root)
    except OSError as error:
        raise NotASpool(f"the spool {root} can't be used: {error.strerror}") from None


def _try(root: Path) -> None:
    """Write a file and link it, and remove both."""
    draft = root / f".{os.getpid()}-{os.urandom(4).hex()}"
    other = draft.with_name(f"{draft.name}-link")
    try:
        draft.touch(exist_ok=False)
        os.link(draft, other)
    except OSError as error:
        if error.errno in _NO_LINKS and draft.exists():
            raise NotASpool(f"the spool {root} is on a disk without hard links: choose another one") from None
        raise
    finally:
        for path in (other, draft):
            with suppress(OSError):
                path.unlink()
