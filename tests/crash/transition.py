"""One transition of a job, carried out by a process of its own that may be killed at any system call.

`python -m tests.crash.transition ROOT NAME`; its exit code is 0 when the transition has returned.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash import strace
from tests.unit.plugins.on_host import PythonOnHost
from treadle import Attempt, Service
from treadle.dispatch.recovery import recover
from treadle.testing import eventually, live_attempt, make_attempt
from treadle_spool import (
    Descriptor,
    DropFolder,
    Owner,
    Spool,
    State,
    Status,
    now,
)
from treadle_spool.retention import Retention, collect
from treadle_spool.status import FORMAT

JOB = "job"
DATA = b'{"values": [1, 2, 3]}'
RESULT = b'{"sum": 6}'
IDENTITY = "identity.json"
"""What stands for a runtime's own file."""
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


def project(spool: Spool) -> Path:
    return spool.root.with_name("project")


def history(spool: Spool) -> Path:
    """Return the file in which the program says that it has begun; it is not on the spool's disk."""
    return spool.root.parent.with_name("history")


def attempt(spool: Spool, start: str = "spawn") -> Attempt:
    environment = {"HISTORY": str(history(spool))}
    service = Service("sum", project(spool), environment=environment, options={"start": start})
    return make_attempt(spool.root, service=service, job=JOB, spool_id=spool.id)


def status(state: State = State.SUCCEEDED) -> Status:
    return Status(id=JOB, service="sum", status=state, created=now(), started=now(), ended=now())


@contextmanager
def owned(spool: Spool) -> Iterator[Owner]:
    """Take the lock as the next engine does; a child of a killed engine may have it until its exec."""
    eventually(lambda: spool.lock().holder() is None, "the release of the lock", 10)
    with spool.lock() as owner:
        yield owner


def accepted(owner: Owner) -> None:
    owner.spool.accept(descriptor(), JOB)


def claimed(owner: Owner) -> None:
    accepted(owner)
    owner.claim(JOB, live_attempt())


def finish_with_a_file(owner: Owner) -> None:
    """Finish with what a program has just written, and not brought to the disk."""
    (written := owner.spool.run / JOB / "written").write_bytes(RESULT)
    owner.finish(status(), written)


def ended(owner: Owner) -> None:
    claimed(owner)
    owner.finish(status(), RESULT)


def dropped(owner: Owner) -> None:
    (owner.spool.drop / f"{JOB}.json").write_bytes(DROPPED)


def installed(owner: Owner) -> None:
    """Have a service whose jobs can be run, and a job that is claimed for it."""
    spool = owner.spool
    source = project(spool) / "src"
    source.mkdir(parents=True, exist_ok=True)
    (source / "program.py").write_text(PROGRAM)
    environment = f'[environment]\nHISTORY = "{history(spool)}"\n'
    (project(spool) / "treadle.toml").write_text(f'name = "sum"\nstart = "spawn"\n{environment}')
    history(spool).write_bytes(b"")
    accepted(owner)
    owner.claim(JOB, live_attempt(runtime="python-template"))


def start(owner: Owner) -> None:
    asyncio.run(PythonOnHost().start(attempt(owner.spool)))


def start_by_fork(owner: Owner) -> None:
    async def start() -> None:
        runtime = PythonOnHost(idle=0.5)
        await runtime.start(attempt(owner.spool, "fork"))
        await runtime.close()

    asyncio.run(start())


def start_and_wait(owner: Owner) -> None:
    async def both() -> None:
        runtime = PythonOnHost()
        await runtime.start(attempt(owner.spool))
        await runtime.wait(attempt(owner.spool))

    asyncio.run(both())


def take(owner: Owner) -> None:
    """Take what lies in drop/, under its own name or the one that a killed engine has given it."""
    drop = DropFolder(owner, max_bytes=10_000, settle=0)
    for entry in drop.names():
        drop.take(entry, lambda _: None)


def dropped_badly(owner: Owner) -> None:
    (owner.spool.drop / f"{JOB}.json").write_bytes(b"{}")


def end_waiting(owner: Owner) -> None:
    owner.claim(JOB, None)
    owner.finish(status(State.CANCELLED), None)


def half_claimed(owner: Owner) -> None:
    accepted(owner)
    owner.claim(JOB, None)


def old(owner: Owner) -> None:
    """Make the spool one of the format before today's."""
    accepted(owner)
    identity = {"format": FORMAT - 1, "id": owner.spool.id}
    (owner.spool.root / "spool.json").write_text(json.dumps(identity))


def begun(owner: Owner) -> None:
    """Have an attempt whose runtime has written what identifies it, none of it on the disk."""
    claimed(owner)
    (owner.spool.run / JOB / IDENTITY).write_text("identity")


def begun_once_more(owner: Owner) -> None:
    begun(owner)
    owner.next_attempt(JOB, owner.spool.read_live(JOB))
    (owner.spool.run / JOB / IDENTITY).write_text("another identity")


def torn(owner: Owner, *names: str) -> None:
    """Leave of a second attempt what a power cut leaves of files that were not synced."""
    begun_once_more(owner)
    for name in names:
        (path := owner.spool.run / JOB / name).unlink()
        path.touch()


def recover_all(owner: Owner) -> None:
    list(recover(owner, SERVICES, lambda _: True, owner.spool.read_queued))


def nothing(_: Owner) -> None:
    """Begin with an empty spool."""


Step = Callable[[Owner], object]
TRANSITIONS: dict[str, tuple[Step, Step]] = {
    "accept": (nothing, accepted),
    "intake": (dropped, take),
    "claim": (accepted, lambda owner: owner.claim(JOB, live_attempt())),
    "start": (installed, start),
    "start by a fork server": (installed, start_by_fork),
    "exit": (installed, start_and_wait),
    "finish": (claimed, lambda owner: owner.finish(status(), RESULT)),
    "finish with a file": (claimed, finish_with_a_file),
    "cancel": (accepted, lambda owner: owner.spool.ask_to_cancel(JOB)),
    "retry": (claimed, lambda owner: owner.next_attempt(JOB, live_attempt())),
    "gc": (ended, lambda owner: collect(owner.spool, Retention(jobs=0))),
    "refuse": (dropped_badly, take),
    "end without a start": (accepted, end_waiting),
    "undo a claim": (half_claimed, recover_all),
    "raise the format": (old, lambda owner: owner.sweep()),
    "make an attempt durable": (begun, lambda owner: owner.sync_attempt(JOB)),
    "recover a torn record": (lambda owner: torn(owner, "attempt.json"), recover_all),
    "recover a torn descriptor": (lambda owner: torn(owner, "job.json"), recover_all),
    "recover a torn folder": (lambda owner: torn(owner, "job.json", "attempt.json", IDENTITY), recover_all),
}
"""For each: what comes before it, and the transition itself."""


if __name__ == "__main__":
    with Spool.open(Path(sys.argv[1])).lock() as opened:
        strace.begin()
        TRANSITIONS[sys.argv[2]][1](opened)
