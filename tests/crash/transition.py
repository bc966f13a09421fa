"""One transition of a job, carried out by a process of its own that may be killed at any system call.

`python -m tests.crash.transition ROOT NAME`; its exit code is 0 when the transition has returned.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from tests.crash import strace
from treadle import Attempt, Job, Service
from treadle.dispatch.recovery import recover
from treadle_python import PythonRuntime
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
from treadle_spool.retention import Retention, collect

JOB = "job"
DATA = b'{"values": [1, 2, 3]}'
RESULT = b'{"sum": 6}'
DROPPED = b'{"service": "sum", "data": ' + DATA + b"}"
PROGRAM = """
import fcntl, os, time

def run(data):
    alone = open(os.environ['HISTORY'], 'a')
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        alone.write('another attempt is alive\\n')
    alone.write('begin\\n')
    alone.flush()
    time.sleep(0.02)
    return {'sum': sum(data['values'])}
"""


SERVICES = {"sum": Service("sum", Path(), runtime="test")}


def descriptor() -> Descriptor:
    return Descriptor.from_json(DROPPED)


def live(runtime: str = "test") -> LiveAttempt:
    return LiveAttempt(attempt=AttemptRecord(number=1, runtime=runtime, started=now()))


def project(spool: Spool) -> Path:
    return spool.root.with_name("project")


def history(spool: Spool) -> Path:
    """Return the file in which the program says that it has begun; it is not on the spool's disk."""
    return spool.root.parent.with_name("history")


def attempt(spool: Spool, start: str = "spawn") -> Attempt:
    environment = {"HISTORY": str(history(spool))}
    service = Service("sum", project(spool), environment=environment, options={"start": start})
    job = Job.of(JOB, spool.read_claimed(JOB))
    return Attempt(job, service, spool.run / JOB, 1, spool.id, now())


def status(state: State = State.SUCCEEDED) -> Status:
    return Status(id=JOB, service="sum", status=state, created=now(), started=now(), ended=now())


def accepted(spool: Spool) -> None:
    spool.accept(descriptor(), JOB)


def claimed(spool: Spool) -> None:
    accepted(spool)
    spool.claim(JOB, live())


def finish_with_a_file(spool: Spool) -> None:
    """Finish with what a program has just written, and not brought to the disk."""
    (written := spool.run / JOB / "written").write_bytes(RESULT)
    spool.finish(status(), written)


def ended(spool: Spool) -> None:
    claimed(spool)
    spool.finish(status(), RESULT)


def dropped(spool: Spool) -> None:
    (spool.drop / f"{JOB}.json").write_bytes(DROPPED)


def installed(spool: Spool) -> None:
    """Have a service whose jobs can be run, and a job that is claimed for it."""
    source = project(spool) / "src"
    source.mkdir(parents=True, exist_ok=True)
    (source / "program.py").write_text(PROGRAM)
    environment = f'[environment]\nHISTORY = "{history(spool)}"\n'
    (project(spool) / "treadle.toml").write_text(f'name = "sum"\nstart = "spawn"\n{environment}')
    history(spool).write_bytes(b"")
    accepted(spool)
    spool.claim(JOB, live("python-template"))


def start(spool: Spool) -> None:
    asyncio.run(PythonRuntime().start(attempt(spool)))


def start_by_fork(spool: Spool) -> None:
    async def start() -> None:
        runtime = PythonRuntime(idle=0.5)
        await runtime.start(attempt(spool, "fork"))
        await runtime.close()

    asyncio.run(start())


def start_and_wait(spool: Spool) -> None:
    async def both() -> None:
        runtime = PythonRuntime()
        await runtime.start(attempt(spool))
        await runtime.wait(attempt(spool))

    asyncio.run(both())


def take(spool: Spool) -> None:
    DropFolder(spool, max_bytes=10_000, settle=0).take(f"{JOB}.json", lambda _: None)


def dropped_badly(spool: Spool) -> None:
    (spool.drop / f"{JOB}.json").write_bytes(b"{}")


def end_waiting(spool: Spool) -> None:
    spool.claim(JOB, None)
    spool.finish(status(State.CANCELLED), None)


def half_claimed(spool: Spool) -> None:
    accepted(spool)
    spool.claim(JOB, None)


def nothing(_: Spool) -> None:
    """Begin with an empty spool."""


Step = Callable[[Spool], object]
TRANSITIONS: dict[str, tuple[Step, Step]] = {
    "accept": (nothing, accepted),
    "intake": (dropped, take),
    "claim": (accepted, lambda spool: spool.claim(JOB, live())),
    "start": (installed, start),
    "start by a fork server": (installed, start_by_fork),
    "exit": (installed, start_and_wait),
    "finish": (claimed, lambda spool: spool.finish(status(), RESULT)),
    "finish with a file": (claimed, finish_with_a_file),
    "cancel": (accepted, lambda spool: spool.ask_to_cancel(JOB)),
    "retry": (claimed, lambda spool: spool.next_attempt(JOB, live())),
    "gc": (ended, lambda spool: collect(spool, Retention(jobs=0))),
    "refuse": (dropped_badly, take),
    "end without a start": (accepted, end_waiting),
    "undo a claim": (half_claimed, lambda spool: list(recover(spool, SERVICES, lambda _: True))),
}
"""For each: what comes before it, and the transition itself."""


if __name__ == "__main__":
    opened = Spool.open(Path(sys.argv[1]))
    strace.begin()
    TRANSITIONS[sys.argv[2]][1](opened)
