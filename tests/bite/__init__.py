"""What keeps the promise, piece by piece, and which test is expected to notice that a piece is gone.

The tables are by room: the spool, the ways in (drop/, HTTP, the command line), the dispatcher, the runtime of
the host, what its programs do and see, and the runtimes of containers.
`python -m tests.bite` takes the pieces out, one by one.
"""

from tests.bite import containers, dispatch, host, intake, programs, spool
from tests.bite.change import ROOT, Change

__all__ = ["CHANGES", "ROOT", "Change"]

CHANGES = (
    *spool.CHANGES,
    *intake.CHANGES,
    *dispatch.CHANGES,
    *host.CHANGES,
    *programs.CHANGES,
    *containers.CHANGES,
)
