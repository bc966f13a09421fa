"""One transition of a job, carried out by a process of its own that may be killed at any system call.

`python transition.py ROOT NAME`; says `done` on stdout when the transition has returned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from treadle_spool import (
    AttemptRecord,
    Descriptor,
    DropFolder,
    LiveAttempt,
    Spool,
    State,
    Status,
    now,
)
from treadle_spool.retention import remove

JOB = "job"
DATA = b'{"values": [1, 2, 3]}'
RESULT = b'{"sum": 6}'
DROPPED = b'{"service": "sum", "data": ' + DATA + b"}"


def descriptor() -> Descriptor:
    return Descriptor.from_json(DROPPED)


def live() -> LiveAttempt:
    return LiveAttempt(attempt=AttemptRecord(number=1, runtime="test", started=now()))


def status(state: State = State.SUCCEEDED) -> Status:
    return Status(id=JOB, service="sum", status=state, created=now(), started=now(), ended=now())


def accepted(spool: Spool) -> None:
    spool.accept(descriptor(), JOB)


def claimed(spool: Spool) -> None:
    accepted(spool)
    spool.claim(JOB, live())


def ended(spool: Spool) -> None:
    claimed(spool)
    spool.finish(status(), RESULT)


def dropped(spool: Spool) -> None:
    (spool.drop / f"{JOB}.json").write_bytes(DROPPED)


def take(spool: Spool) -> None:
    DropFolder(spool, max_bytes=10_000).take(f"{JOB}.json", lambda _: None)


def nothing(_: Spool) -> None:
    """Begin with an empty spool."""


Step = Callable[[Spool], object]
TRANSITIONS: dict[str, tuple[Step, Step]] = {
    "accept": (nothing, accepted),
    "intake": (dropped, take),
    "claim": (accepted, lambda spool: spool.claim(JOB, live())),
    "finish": (claimed, lambda spool: spool.finish(status(), RESULT)),
    "cancel": (accepted, lambda spool: spool.ask_to_cancel(JOB)),
    "retry": (claimed, lambda spool: spool.next_attempt(JOB, live())),
    "remove": (ended, lambda spool: remove(spool, JOB)),
}
"""For each: what comes before it, and the transition itself."""


if __name__ == "__main__":
    opened = Spool.open(Path(sys.argv[1]))
    TRANSITIONS[sys.argv[2]][1](opened)
    sys.stdout.write("done")
