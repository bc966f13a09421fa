"""How long a start takes: from the process to its first answer, and until all it finds is noticed."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.places import Places
from tests.bench.project import make_project
from tests.bench.treadle_lane import TreadleLane
from treadle_spool import Descriptor, Spool, now

_RUNNING = 100
_ROUNDS = 5


async def start(places: Places, queued: int) -> str:
    """Measure starts on an empty spool and on a full one, in turn; return a table."""
    project = make_project(places.new("waits"), "import time\ndef run():\n    time.sleep(3600)\n")
    empty, full = places.new("empty"), places.new("full")
    await _fill(project, full, queued)
    taken: dict[Path, list[tuple[float, float]]] = {empty: [], full: []}
    for _ in range(_ROUNDS):
        for spool, times in taken.items():
            times.append(await _start(project, spool, 0 if spool == empty else queued + _RUNNING))
    await _cancel_all(project, full)
    lines = [
        f"a start ({_ROUNDS} each, medians)",
        "| spool | first answer | all noticed |",
        "| --- | --- | --- |",
    ]
    for name, spool in (("empty", empty), (f"{queued} queued, {_RUNNING} running", full)):
        first, noticed = (statistics.median(column) for column in zip(*taken[spool], strict=True))
        lines.append(f"| {name} | {first:.2f} s | {noticed:.2f} s |")
    return "\n".join(lines)


async def _fill(project: Path, root: Path, queued: int) -> None:
    """Have 100 jobs run, end their engine, and queue others as an engine would have accepted them."""
    async with TreadleLane(project, root, jobs=_RUNNING) as lane:
        for _ in range(_RUNNING):
            await lane.submit({})
        await _until(lane, lambda jobs: jobs["running"] == _RUNNING)
        lane.send(signal.SIGKILL)
    spool = Spool.open(root)
    text = Descriptor(service=project.name, created=now()).to_json()
    for number in range(queued):
        (spool.queue / f"queued-{number}.json").write_bytes(text)


async def _start(project: Path, root: Path, jobs: int) -> tuple[float, float]:
    begun = time.perf_counter()
    async with TreadleLane(project, root, jobs=_RUNNING) as lane:
        first = time.perf_counter() - begun
        await _until(lane, lambda found: sum(found.values()) >= jobs)
        return first, time.perf_counter() - begun


async def _cancel_all(project: Path, root: Path) -> None:
    """End the programs that still run: none may outlive the measurement."""
    spool = Spool.open(root)
    for path in spool.queue.glob("queued-*.json"):
        path.unlink()
    async with TreadleLane(project, root, jobs=_RUNNING) as lane:
        for name in list(spool.names(spool.run)):
            spool.ask_to_cancel(name)
        await _until(lane, lambda jobs: not any(jobs.values()))


async def _until(lane: TreadleLane, condition: Callable[[dict[str, int]], bool]) -> None:
    while not condition(await lane.jobs()):  # noqa: ASYNC110  # the health answer is asked for, not pushed
        await asyncio.sleep(0.01)
