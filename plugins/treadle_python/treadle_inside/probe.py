"""A trial of what this host permits: how programs are contained, and whether a folder is hidden from them."""

from __future__ import annotations

import json
import os
import sys

from . import containment, mounts


def main() -> None:
    """Print the kind of containment and whether it hides a folder, as JSON. The arguments are both.

    Called by `treadle doctor`, in a process of its own.
    """
    contain, folder = sys.argv[1:]
    kind = containment.enter(contain)
    pid = os.fork()
    if pid == 0:
        hidden = kind == containment.NAMESPACE and mounts.enter([(mounts.EMPTY, folder, mounts.READ_ONLY)])
        os.write(1, json.dumps([kind, hidden and not os.listdir(folder)]).encode())
        os._exit(0)
    os.waitpid(pid, 0)
