"""Celery: with a folder as its broker, or Redis; with warm workers, or a fresh one for each job."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from driver import Data, compute, drive

folder = Path(os.environ["PEER_FOLDER"])
redis = os.environ.get("PEER_REDIS")
app = Celery("celery_peer", broker=redis or "filesystem://", backend=redis or f"file://{folder}/results")
if redis is None:
    for name in ("queue", "control", "results"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    app.conf.broker_transport_options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
    }


@app.task(name="job")
def job(data: Data) -> object:
    """Run in a worker."""
    return compute(data)


if __name__ == "__main__":
    drive(lambda data: job.delay(data).get(timeout=300, interval=0.002))
