"""huey with its file storage: warm worker processes; the file system is its queue."""

from __future__ import annotations

import os

from driver import Data, compute, drive
from huey import FileHuey

huey = FileHuey("bench", path=os.environ["PEER_FOLDER"])


@huey.task()
def job(data: Data) -> object:
    """Run in a worker."""
    return compute(data)


if __name__ == "__main__":
    import huey_peer  # under the name that the workers know it by

    drive(lambda data: huey_peer.job(data).get(blocking=True, timeout=60, max_delay=0.002))
