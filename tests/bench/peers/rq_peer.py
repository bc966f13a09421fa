"""RQ with Redis: its workers fork a process for each job."""

from __future__ import annotations

import os

from driver import compute, drive
from redis import Redis
from rq import Queue

queue = Queue(connection=Redis.from_url(os.environ["PEER_REDIS"]))

if __name__ == "__main__":
    drive(lambda data: queue.enqueue(compute, data).latest_result(timeout=60).return_value)
