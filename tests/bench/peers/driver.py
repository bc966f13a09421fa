"""What every peer's client does: jobs in on stdin, one a line, results out on stdout.

Runs in the peer's own virtual environment, so nothing of ours is imported here.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

Data = dict[str, list[int]]


def compute(data: Data) -> dict[str, int]:
    """Do the job that every peer runs."""
    return {"sum": sum(data["values"])}


def drive(run: Callable[[Data], object], at_a_time: int = 32) -> None:
    """Run each job that stdin names, and write its result as soon as it is there."""
    writing = threading.Lock()

    def one(line: str) -> None:
        number, data = json.loads(line)
        answer = json.dumps([number, run(data)])
        with writing:
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()

    with ThreadPoolExecutor(at_a_time) as pool:
        for line in sys.stdin:
            pool.submit(one, line).add_done_callback(_leave_at_a_fault)


def _leave_at_a_fault(done: Future[None]) -> None:
    if done.exception() is not None:
        traceback.print_exception(done.exception())
        os._exit(1)
