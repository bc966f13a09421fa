"""What keeps the promise, piece by piece, and which test is expected to notice that a piece is gone.

The tables are by room: the spool, the ways in (drop/, HTTP, the command line), the dispatcher, the runtime of
the host, what its programs do and see, the runtimes of containers, their images, the builds of environments,
and services that come, go and break.
`python -m tests.bite` takes the pieces out, one by one.
"""

from tests.bite import building, containers, dispatch, host, images, intake, programs, services, spool
from tests.bite.change import ROOT, Change

__all__ = ["CHANGES", "ROOT", "Change"]

CHANGES = (
    *spool.CHANGES,
    *intake.CHANGES,
    *dispatch.CHANGES,
    *host.CHANGES,
    *programs.CHANGES,
    *containers.CHANGES,
    *images.CHANGES,
    *building.CHANGES,
    *services.CHANGES,
)
